"""fastload.prefetch."""
