"""Commands in messages, adapted to where the user works: messages name targets of the Makefile, and an
installed package has no Makefile.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from loadbench.load_paths import LOAD_PATHS

_TARGETS = (
    *("setup", "compare", "scale-out", "destroy", "doctor", "report", "list", "show", "leftovers"),
    *LOAD_PATHS,
)
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s`;"']*[^\s`;,.)"'])"""
_COMMAND = re.compile(rf"\bmake (?P<target>[a-z][a-z-]*)\b(?P<variables>(?: [A-Z]+={_VALUE})*)")
_OPTIONS: Mapping[str, Callable[[str, str], str]] = {
    "PAIRS": lambda target, value: f"{'--repeat' if target == 'scale-out' else '--pairs'} {value}",
    "PATHS": lambda _, value: f"--paths {value}",
    "CONFIG": lambda _, value: f"--config {value}",
    "TARGET": lambda _, value: f"--target {value}",
    "YES": lambda *_: "--yes",
    "ARGS": lambda _, value: value,
}


def typed_here(text: str, folder: Path) -> str:
    """`make compare PAIRS=5` as `loadbench compare --pairs 5` where `folder` has no Makefile.

    Other text is not changed.
    """
    return text if (folder / "Makefile").exists() else _COMMAND.sub(_as_loadbench, text)


def _as_loadbench(match: re.Match[str]) -> str:
    target = match["target"]
    if target not in _TARGETS:
        return match[0]
    words = ["loadbench", f"run {target}" if target in LOAD_PATHS else target]
    for word in shlex.split(match["variables"]):
        name, _, value = word.partition("=")
        words.append(_OPTIONS[name](target, value) if name in _OPTIONS else word)
    return " ".join(words)


def as_make(words: Sequence[str]) -> str:
    """`loadbench compare --pairs 5 --set a.b=1` as `make compare PAIRS=5 ARGS="--set a.b=1"`."""
    target, variables, others = words[1], [], []
    options = {"--pairs": "PAIRS", "--paths": "PATHS", "--config": "CONFIG", "--target": "TARGET"}
    remaining = iter(words[2:])
    for word in remaining:
        name, given, value = word.partition("=")
        if name in options:
            variables.append(f"{options[name]}={value if given else next(remaining, '')}")
        else:
            others.append(word)
    if others:
        variables.append(f'ARGS="{shlex.join(others)}"' if len(others) > 1 else f"ARGS={others[0]}")
    return " ".join(["make", target, *variables])
