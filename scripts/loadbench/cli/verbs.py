"""Advice as it is typed here: messages name the verbs of the Makefile, and an installed package has none."""

from __future__ import annotations

import re
from pathlib import Path

from loadbench.load_paths import LOAD_PATHS

_VERB = re.compile(r"\bmake (?P<verb>[a-z][a-z-]*)\b")
_VERBS = ("setup", "compare", "scale-out", "destroy", "doctor", "report", "leftovers", *LOAD_PATHS)


def typed_here(text: str, folder: Path) -> str:
    """`make destroy` as `loadbench destroy` where `folder` has no Makefile; other text as it is."""
    if (folder / "Makefile").exists():
        return text

    def replaced(match: re.Match[str]) -> str:
        verb = match["verb"]
        if verb not in _VERBS:
            return match[0]
        return f"loadbench run {verb}" if verb in LOAD_PATHS else f"loadbench {verb}"

    return _VERB.sub(replaced, text)
