"""The result of a sweep: stopping rule, ranking and page. Reads records and calls no service."""
