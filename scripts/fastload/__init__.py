"""Model weights: cut a checkpoint into uniform chunks per rank, stream them from S3 to a device."""
