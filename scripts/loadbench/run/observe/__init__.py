"""Watching a deployment: status, logs and usage, each turned into spans on its own clock."""

from loadbench.run.observe.observer import Observer

__all__ = ["Observer"]
