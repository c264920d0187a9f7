"""Observes or imports the starts of endpoints that loadbench did not deploy. Read-only."""
