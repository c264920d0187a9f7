"""comparison.md: a table for a pull request."""

from __future__ import annotations

from loadbench.results import formatting
from loadbench.results.comparison.model import Comparison, PhaseRow, ScaleOutSection


def render(comparison: Comparison) -> str:
    """Verdict, table, break-even, differences and warnings in GitHub's Markdown, one method after another."""
    lines = [f"> {_escape(comparison.notice)}", ""] if comparison.notice else []
    lines += [f"> {_escape(item.words)}\n" for item in comparison.reused_runs]
    for part in comparison.parts:
        lines += [*_part(part), ""]
    warnings = dict.fromkeys(text for part in comparison.parts for text in part.warnings)
    if warnings:
        lines += ["Warnings:", "", *(f"- {_escape(text)}" for text in warnings)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _part(comparison: Comparison) -> list[str]:
    a, b = _escape(comparison.a.label), _escape(comparison.b.label)
    lines = [
        f"**{_escape(comparison.verdict.sentence)}**",
        "",
        _escape(comparison.verdict.detail),
        *(
            ["", _escape(f"{comparison.verdict.next_step} {comparison.verdict.next_command}")]
            if comparison.verdict.next_command
            else []
        ),
        "",
        _line("", a, b, "difference", f"{a} ÷ {b}", "95 %"),
        "|:--|--:|--:|--:|--:|--:|",
    ]
    lines.append(_phase(f"**{formatting.COLD_START}**", comparison.total))
    lines += [line for row in comparison.phases for line in _phase_and_details(row)]
    lines.append(_phase(formatting.WEIGHT_LOADING, comparison.weights))
    for measure in comparison.measures:
        x, y = (side.median if side else None for side in (measure.a, measure.b))
        lines.append(
            _line(
                measure.label,
                formatting.quantity(x, measure.unit),
                formatting.quantity(y, measure.unit),
                formatting.quantity(None if x is None or y is None else y - x, measure.unit, signed=True),
                formatting.times(measure.estimate.ratio if measure.estimate else None),
                formatting.interval(measure.estimate),
            )
        )
    if comparison.break_even:
        lines += ["", _escape(comparison.break_even.sentence)]
    if comparison.scale_out:
        lines += _scale_out(comparison.scale_out)
    if comparison.differences:
        lines += ["", "Other differences:", ""]
        lines += [
            f"- {_escape(item.what)}: {_escape(item.a)} | {_escape(item.b)}".replace(" | ", " against ")
            + (f" ({_escape(item.why)})" if item.why else "")
            for item in comparison.differences
        ]
    return lines


def _scale_out(section: ScaleOutSection) -> list[str]:
    a, b = _escape(section.a.label), _escape(section.b.label)
    return [
        "",
        f"**{_escape(section.sentence)}**",
        "",
        _line("adding one copy", a, b, "difference", f"{a} ÷ {b}", "95 %"),
        "|:--|--:|--:|--:|--:|--:|",
        _phase("**time to one more copy**", section.total),
        *(line for row in section.phases for line in _phase_and_details(row)),
        _phase(formatting.WEIGHT_LOADING, section.weights),
    ]


def _phase_and_details(row: PhaseRow) -> list[str]:
    return [
        _phase(formatting.name(row.name), row),
        *(
            _line(
                f"– {formatting.name(item.name)}",
                formatting.seconds(item.a_s),
                formatting.seconds(item.b_s),
                "",
                "",
                "",
            )
            for item in row.details
        ),
    ]


def _phase(label: str, row: PhaseRow) -> str:
    return _line(
        label,
        formatting.seconds(row.a_s),
        formatting.seconds(row.b_s),
        formatting.seconds(row.difference_s, signed=True),
        formatting.times(row.estimate.ratio if row.estimate else None),
        formatting.interval(row.estimate),
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Escape Markdown's special characters; run ids and environment values may contain any."""
    for sign in ("\\", "`", "*", "_", "<", ">", "&", "|", "[", "]", "~", "#", "!"):
        text = text.replace(sign, "\\" + sign)
    return text.replace("\n", " ")
