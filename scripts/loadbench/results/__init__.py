"""Everything that reads records and compares them; it opens no connection."""
