"""Verifies assumptions about AWS by read-only calls, by creating free resources, and by paid deployments."""
