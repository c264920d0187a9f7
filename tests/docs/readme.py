"""The commands of README.md, and where each is proved: the table that `test_readme.py` holds it to."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"

# Run by tests/e2e/test_readme.py, in README's own words and order, in one shell.
EXECUTED = (
    "source .venv/bin/activate",
    "make fast",
    'loadbench invoke fast "Why is the sky blue?"',
    'eval "$(loadbench local env)"',
    "aws sagemaker list-endpoints",
    "loadbench invoke fast --snippet | python",
    "make destroy",
)

# Run by another end-to-end test already: the file, and the `loadbench` call in it that is the same command.
EXECUTED_ELSEWHERE = {
    "make compare": ("tests/e2e/test_main_job.py", ("compare",)),
}

# Only looked at: target, verb and options exist. Why it is not run stands beside it.
PARSED = {
    "loadbench what-if --rate 0.5 --burst-rate 8 --burst-seconds 3600 --burst-every-seconds 14400 --hours 12 "
    "--repeat 3 --concurrency 16 --request-seconds lognormal:5,2 --cold-start standard=632 "
    "--cold-start fast=512 --scaling target-tracking --target-value 120 --max-copies 8 --instance-type "
    "ml.g5.2xlarge --target-p99-wait-seconds 1 --chart docs/images/what-if.svg": "takes a minute",
    "aws sts get-caller-identity": "needs a real account",
    "cp config.aws.yaml my.yaml": "its result is a file that somebody fills in",
    "make doctor CONFIG=my.yaml": "needs a real account",
    'make compare CONFIG=my.yaml PAIRS=5 ARGS="--dry-run"': "tests/loadbench/cli/test_spending.py runs it",
    'make compare CONFIG=my.yaml PAIRS=5 ARGS="--max-usd 6"': "needs a real account, and costs money",
    "make destroy CONFIG=my.yaml": "needs a real account",
}


def shell_commands(page: Path) -> list[str]:
    """Every command of a page's shell blocks, without comments, continued lines joined."""
    blocks = re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    lines = re.sub(r"\s*\\\n\s*", " ", "\n".join(blocks)).splitlines()
    return [command for line in lines if (command := re.sub(r"(^|\s+)#.*$", "", line).strip())]


def inline_commands(page: Path) -> list[str]:
    """Every `make …` and `loadbench …` between backticks."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    return [code for code in re.findall(r"`([^`\n]+)`", text) if re.match(r"(make|loadbench) \S", code)]
