"""Endpoints that somebody else deployed: watched while they start, or read afterwards; never changed."""
