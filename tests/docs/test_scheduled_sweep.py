"""docs/scheduled-sweep.md: the rights it names are in the policy, and every exit code is explained."""

from __future__ import annotations

import fnmatch
import json
import re

from loadbench import errors
from tests.docs.readme import ROOT

PAGE = (ROOT / "docs" / "scheduled-sweep.md").read_text(encoding="utf-8")
POLICY = json.loads((ROOT / "docs" / "iam-policy.json").read_text(encoding="utf-8"))


def test_the_policy_holds_each_right_in_the_statement_that_the_page_names() -> None:
    statements = {statement["Sid"]: set(statement["Action"]) for statement in POLICY["Statement"]}
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 4
    for sid, cell in rows:
        named = {right for right in re.findall(r"`([\w:…]+)`", cell) if ":" in right}
        assert named <= statements[sid], sid
        for start in re.findall(r"`(\w+)…`", cell):
            assert fnmatch.filter(statements[sid], f"sagemaker:{start}*")


def test_every_exit_code_is_explained() -> None:
    codes = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.LoadbenchError)
    }
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert explained == codes | {0}
