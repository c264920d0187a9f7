"""The result of a sweep: a rule for when it is sure, a ranking, one page. Reads records, calls nothing."""
