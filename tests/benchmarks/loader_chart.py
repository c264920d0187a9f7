"""A bar chart as SVG: medians with their spread, and the ceiling as a line."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from statistics import median

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 800, 160, 140, 44, 64


def bar_chart(
    title: str,
    values_by_loader: Mapping[str, list[float]],
    line: float | None,
    *,
    unit: str = "GB/s",
    line_name: str = "ceiling",
) -> str:
    """One bar per loader, a whisker from min to max, a dashed line to compare with."""
    most = max([*(max(values) for values in values_by_loader.values()), line or 0.0]) * 1.05
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    height = _TOP + _ROW * len(values_by_loader) + 24
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="14" fill="#222">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="28" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for number, (name, values) in enumerate(values_by_loader.items()):
        y, middle = _TOP + number * _ROW, median(values)
        colour = "#0b6e4f" if name.startswith("fastload") else "#9aa5b1"
        low, high = _LEFT + min(values) * scale, _LEFT + max(values) * scale
        out += [
            f'<text x="{_LEFT - 10}" y="{y + 19}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{middle * scale:.1f}" height="28" rx="2" fill="{colour}"/>',
            f'<path d="M{low:.1f} {y + 14}H{high:.1f}M{low:.1f} {y + 8}v12M{high:.1f} {y + 8}v12" '
            'stroke="#222" fill="none"/>',
            f'<text x="{high + 8:.1f}" y="{y + 19}">{middle:.2f} {unit}</text>',
        ]
    if line:
        x = _LEFT + line * scale
        out += [
            f'<path d="M{x:.1f} {_TOP - 10}V{height - 20}" stroke="#b4232a" stroke-dasharray="5 4"/>',
            f'<text x="{x:.1f}" y="{_TOP - 14}" text-anchor="middle" fill="#b4232a">'
            f"{line_name} {line:.2f}</text>",
        ]
    return "\n".join([*out, "</svg>"]) + "\n"
