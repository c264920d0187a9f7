"""The wing that reads records and judges; it opens no connection."""
