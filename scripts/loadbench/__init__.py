"""The benchmark: deploys a model with several loading methods, times every phase, compares, cleans up."""
