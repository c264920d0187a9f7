"""An SVG badge with the newest level of one series and its change."""

from __future__ import annotations

from html import escape

from loadbench.results import formatting
from loadbench.results.history.run_history import Series

_LETTER, _PADDING, _HEIGHT = 6.6, 8.0, 20
_COLOURS = {"slower": "#ad2626", "faster": "#1b6e3c", "same": "#2f5fa5", "none": "#58616d"}


def render(series: Series | None, max_slowdown_percent: float) -> str:
    """Self-contained SVG with label and figure; red if the newest level is slower than the limit allows."""
    label = "cold start (emulated)" if series and series.emulated else "cold start"
    if series is None or series.newest is None:
        return _draw(label, "no runs", _COLOURS["none"])
    text, kind, percent = formatting.seconds(series.newest.median_s), "same", series.slowdown_percent
    if series.newest.change:
        kind = "slower" if percent > max_slowdown_percent else "faster" if percent < 0 else "same"
        text += f" {percent:+.0f} %".replace("-", formatting.MINUS)
    return _draw(label, text, _COLOURS[kind])


def _draw(label: str, text: str, colour: str) -> str:
    left, right = (len(words) * _LETTER + 2 * _PADDING for words in (label, text))
    width, name = left + right, escape(f"{label}: {text}")
    words = "".join(
        f'<text x="{x:.0f}" y="14" text-anchor="middle" textLength="{length * _LETTER:.0f}">'
        f"{escape(part)}</text>"
        for x, length, part in (
            (left / 2, len(label), label),
            (left + right / 2, len(text), text),
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{_HEIGHT}" role="img" '
        f'aria-label="{name}"><title>{name}</title>'
        f'<clipPath id="r"><rect width="{width:.0f}" height="{_HEIGHT}" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left:.0f}" height="{_HEIGHT}" fill="#3b424c"/>'
        f'<rect x="{left:.0f}" width="{right:.0f}" height="{_HEIGHT}" fill="{colour}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{words}</g></svg>\n'
    )
