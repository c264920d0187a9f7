"""`make audit`: checkov over the Terraform code, pip-audit over the pinned dependencies.

Exit codes: 0 clean, 1 something was found, 2 not everything could be looked at. pip-audit itself ends with 0
when its database knows none of the packages, as behind some proxies; that must not look like a clean result.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PIP_AUDIT_TIMEOUT_S = 600


def main() -> int:
    print("checkov: terraform/ (exceptions stand in the code, with their reasons)", flush=True)
    checkov = [str(BIN / "checkov"), "--directory", "terraform", "--framework", "terraform"]
    codes = [subprocess.run([*checkov, "--quiet", "--compact", "--skip-download"], cwd=ROOT).returncode]
    print("pip-audit: constraints.txt", flush=True)
    codes.append(audit_pins(ROOT / "constraints.txt"))
    return 1 if 1 in codes else max(codes)


def audit_pins(pins: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [str(BIN / "pip-audit"), "--requirement", str(pins), "--no-deps", "--disable-pip"]
        command += ["--progress-spinner", "off", "--format", "json", "--output", str(answer)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_AUDIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return not_audited(f"no answer within {PIP_AUDIT_TIMEOUT_S} s")
        if not answer.is_file():
            lines = done.stderr.strip().splitlines()
            return not_audited(lines[-1] if lines else f"pip-audit ended with code {done.returncode}")
        packages = json.loads(answer.read_text(encoding="utf-8"))["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    found = [(package, problem) for package in packages for problem in package.get("vulns", [])]
    for package, problem in found:
        fixed = f"fixed in {', '.join(problem['fix_versions'])}" if problem["fix_versions"] else "no fix yet"
        print(f"{package['name']} {package['version']}: {problem['id']}, {fixed}")
    print(f"{len(packages) - len(skipped)} of {len(packages)} packages audited, {len(found)} known problems")
    if found:
        return 1
    if skipped:
        some = ", ".join(skipped[:5]) + (" …" if len(skipped) > 5 else "")
        return not_audited(f"the database has no entry for {len(skipped)} of {len(packages)}: {some}")
    return 0


def not_audited(reason: str) -> int:
    print(f"NOT AUDITED: the dependencies could not be looked up: {reason}", file=sys.stderr)
    print("This says nothing about them. It needs a way to pypi.org's JSON API.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
