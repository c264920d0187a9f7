"""The benchmark: deploy a model two ways, time every phase, compare, remove everything."""
