"""Everything that can be known to fail before anything costs money."""

from loadbench.run.preflight.check import Check
from loadbench.run.preflight.checks import run_checks
from loadbench.run.preflight.summary import cost_summary

__all__ = ["Check", "cost_summary", "run_checks"]
