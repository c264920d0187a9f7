"""Real serving engines for the embedded AWS, each in its own virtual environment."""
