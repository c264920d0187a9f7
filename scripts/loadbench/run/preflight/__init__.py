"""Pre-flight checks: failures that can be found before anything costs money."""

from loadbench.run.preflight.check_list import check_methods, run_checks
from loadbench.run.preflight.check_result import Check
from loadbench.run.preflight.summary import CostEstimate, describe_plan, estimate_cost

__all__ = ["Check", "CostEstimate", "check_methods", "describe_plan", "estimate_cost", "run_checks"]
