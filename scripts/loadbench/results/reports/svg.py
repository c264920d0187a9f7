"""SVG shapes for the charts. Colours are CSS classes in templates/charts.css."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

_MARGIN = 16  # pixels around a chart in a separate file


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels, linearly."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixels of a value."""
        span = self.high - self.low
        return self.start + (value - self.low) / span * (self.end - self.start) if span else self.start


@dataclass
class Drawing:
    """An SVG under construction; title and description are for screen readers."""

    width: float
    height: float
    title: str
    description: str
    parts: list[str] = field(default_factory=list)

    def rectangle(self, x: float, y: float, width: float, height: float, css: str, tip: str = "") -> None:
        """A bar; `tip` is its tooltip; the page's tables have the same figures."""
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.8):.1f}" height="{height:.1f}" '
            f'class="{css}">{inner}</rect>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """A straight line."""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>')

    def polyline(self, points: Sequence[tuple[float, float]], css: str) -> None:
        """A curve through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" class="{css}"/>')

    def dot(self, x: float, y: float, radius: float, css: str, tip: str = "") -> None:
        """A raw point."""
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="{css}">{inner}</circle>'
        )

    def text(self, x: float, y: float, text: str, css: str = "", anchor: str = "start") -> None:
        """A label; `anchor` is start, middle or end."""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(text)}</text>'
        )

    def render(self, css: str = "") -> str:
        """The element, for a page that has the style sheet."""
        return self._element(css, (0, 0, self.width, self.height), "")

    def render_alone(self, style: str, notice: str | None = None) -> str:
        """A standalone SVG file: style sheet, margin, background, and the notice below the chart."""
        height = self.height + 2 * _MARGIN + (22 if notice else 0)
        x, y, width = -_MARGIN, -_MARGIN, self.width + 2 * _MARGIN
        ground = (
            f'<rect x="{x}" y="{y}" width="{width:.0f}" height="{height:.0f}" class="ground"/>'
            f"<title>{escape(self.title)}</title>"
        )
        if notice:
            self.text(0, self.height + 18, notice, "notice")
        return self._element("", (x, y, width, height), f"<style>{style}</style>{ground}")

    def _element(self, css: str, box: tuple[float, float, float, float], before: str) -> str:
        corners = " ".join(f"{value:.0f}" for value in box)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{corners}" '
            f'class="chart {css}" role="img" aria-label="{escape(self.title)}. {escape(self.description)}">'
            f"{before}{''.join(self.parts)}</svg>"
        )


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round values from low to high, about `count` of them, in steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]
