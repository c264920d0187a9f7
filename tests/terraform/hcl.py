"""What the files in terraform/ declare, read from their text: `terraform fmt` keeps its layout."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2] / "terraform"
MODULES = sorted((ROOT / "modules").iterdir())


def blocks(file: Path, kind: str) -> dict[str, str]:
    """The text of each `variable` or `output` of one file by name, in the order of the file."""
    found = re.findall(rf'^{kind} "(\w+)" \{{\n(.*?)^\}}', file.read_text(encoding="utf-8"), re.M | re.S)
    return dict(found)


def declared_variables(folder: Path) -> dict[str, list[str]]:
    """Every variable of a root or module: the names of its attributes, none where it is no object."""
    files = sorted(folder.glob("*.tf"))
    variables = {name: text for file in files for name, text in blocks(file, "variable").items()}
    return {name: attributes(text) for name, text in sorted(variables.items())}


def attributes(variable: str) -> list[str]:
    """Names of the attributes in the text of a variable whose type is an object."""
    found = re.search(r"^  type = object\(\{\n(.*?)^  \}\)", variable, re.M | re.S)
    return re.findall(r"^    (\w+) +=", found[1], re.M) if found else []


def copy_variables(destination: Path) -> None:
    """The root's own variables, types and validations included, without provider and modules."""
    for file in ROOT.glob("variables*.tf"):
        shutil.copy(file, destination)
    region = blocks(ROOT / "provider.tf", "variable")["region"]
    (destination / "region.tf").write_text(f'variable "region" {{\n{region}}}\n', encoding="utf-8")
