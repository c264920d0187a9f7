"""Observes a deployment: status, logs and usage, converted to spans, each on its own clock."""

from loadbench.run.observe.observer import Observer

__all__ = ["Observer"]
