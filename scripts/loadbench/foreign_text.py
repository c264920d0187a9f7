"""Untrusted text (from services, containers, models, other people's files), made safe to show.

Terminals execute escape sequences, and spreadsheets execute cells that look like formulas. Reports escape the
special characters of their format as well; only this module knows which characters are not text.
"""

from __future__ import annotations

import re
from typing import Any

from loadbench.redaction import redact

LONGEST_LINE = 2000  # characters that are shown of one line

# CSI, OSC, the other string sequences (DCS, SOS, PM, APC), and any other ESC with one or two characters.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# Control characters, and characters that change the direction of the text around them.
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MAY_NEED_CLEANING = re.compile(
    rb"\\[bfr]|\\u00(?:[01]|7[fF]|[89])|\\u061[cC]|\\u20[26]|\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e-\xaf]|\xe2\x81\xa6"
)
_FORMULA = ("=", "+", "-", "@", "\t")


def plain(text: str, longest_line: int | None = LONGEST_LINE) -> str:
    """`text` without escape sequences and control characters (except line breaks and tabs), long
    lines cut.
    """
    text = _NO_TEXT.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    if longest_line is None or len(text) <= longest_line:
        return text
    return "\n".join(_cut(line, longest_line) for line in text.split("\n"))


def shown(text: str) -> str:
    """`text` that is safe for a terminal or a log: plain, and without secrets."""
    return redact(plain(text))


def csv_cell(value: object) -> object:
    """A cell that no spreadsheet evaluates as a formula; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def needs_cleaning(document: bytes) -> bool:
    """Whether JSON text may contain control characters, literal or escaped."""
    return _MAY_NEED_CLEANING.search(document) is not None


def plain_document(value: Any) -> Any:
    """The parsed document with every string made plain, and none cut."""
    if isinstance(value, str):
        return plain(value, None)
    if isinstance(value, list):
        return [plain_document(item) for item in value]
    if isinstance(value, dict):
        return {plain(key, None): plain_document(item) for key, item in value.items()}
    return value


def _cut(line: str, longest: int) -> str:
    left_out = len(line) - longest
    return line if left_out <= 0 else f"{line[:longest]}… ({left_out:,} more characters)"
