"""Application Auto Scaling for endpoint variants and copies of inference components."""
