"""CloudWatch Logs' filter patterns for text: terms, phrases, exclusions, alternatives, regular expressions.

Source: "Filter pattern syntax" in the CloudWatch Logs User Guide. Patterns for JSON (`{ … }`) and for columns
(`[ … ]`) are rejected, because an empty response would look like a log without such lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..errors import AwsError

Matches = Callable[[str], bool]
_MAX_PATTERN = 1024
# Only the start of longer lines is searched, so that an expression cannot block the server.
_MAX_LINE = 4096
_TERM = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|%((?:[^%\\]|\\.)*)%|([^\s"%]+))')
# On AWS only terms of letters, digits and underscores need no quotes; these are accepted unquoted, too.
_WORD = re.compile(r"[\w.:/*=@#,;!+$&'()<>|~^`\-]+")


def parse_pattern(pattern: str) -> Matches:
    """A predicate for lines. Raises InvalidParameterException for an invalid or unsupported pattern."""
    text = pattern.strip()
    if len(text) > _MAX_PATTERN:
        raise AwsError(
            "InvalidParameterException", f"A filter pattern has {_MAX_PATTERN} characters at most."
        )
    if text.startswith(("{", "[")):
        kind = "JSON" if text.startswith("{") else "columns"
        raise AwsError(
            "InvalidParameterException",
            f'The embedded AWS does not support filter patterns for {kind}; use terms, "phrases" or %regex%.',
        )
    wanted: list[Matches] = []
    unwanted: list[Matches] = []
    alternatives: list[Matches] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None or match.end() == position:
            raise AwsError("InvalidParameterException", "Invalid filter pattern")
        position = match.end()
        found = {"-": unwanted, "?": alternatives, "": wanted}[match[1]]
        found.append(_term(match))
    # Alternatives only apply without other terms (user guide, mixed patterns).
    if wanted or unwanted:
        alternatives = []

    def fits(line: str) -> bool:
        return (
            all(matches(line) for matches in wanted)
            and not any(matches(line) for matches in unwanted)
            and (not alternatives or any(matches(line) for matches in alternatives))
        )

    return fits


def _term(match: re.Match[str]) -> Matches:
    if match[3] is not None:
        return _expression(match[3])
    if match[2] is not None:
        phrase = re.sub(r"\\(.)", r"\1", match[2])
    elif _WORD.fullmatch(match[4]):
        phrase = match[4]
    else:
        raise AwsError("InvalidParameterException", "Invalid filter pattern")
    return lambda line: phrase in line


def _expression(text: str) -> Matches:
    """A regular expression in the subset that the service accepts: no groups, no look-around."""
    if "(" in text or "{" in text:
        raise AwsError("InvalidParameterException", "Invalid character(s) in term: groups and braces.")
    try:
        compiled = re.compile(text)
    except re.error as error:
        raise AwsError("InvalidParameterException", f"Invalid filter pattern: {error}") from error
    return lambda line: compiled.search(line[:_MAX_LINE]) is not None
