"""Serving engines that the embedded AWS can run for real, each in a virtual environment of its own."""
