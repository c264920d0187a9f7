"""The templates of pages and texts, and charts as a page shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from loadbench.results.reports.charts import NARROW, WIDE
from loadbench.results.reports.svg import Drawing
from loadbench.workspace import Workspace

_Drawn = TypeVar("_Drawn")


@dataclass(frozen=True)
class Chart:
    """A chart in both layouts; the style sheet shows the fitting one."""

    wide: Markup
    narrow: Markup

    def __html__(self) -> str:
        return self.wide + self.narrow


def in_both_layouts(draw: Callable[[_Drawn, int], Drawing | None], drawn: _Drawn) -> Chart | None:
    """What `draw` makes of `drawn` at either width; None where it draws nothing."""
    wide, narrow = draw(drawn, WIDE), draw(drawn, NARROW)
    if wide is None or narrow is None:
        return None
    return Chart(Markup(wide.render("wide")), Markup(narrow.render("narrow")))  # noqa: S704 - our own SVG


def page_templates() -> Environment:
    """For HTML: every text is escaped."""
    return Environment(loader=_loader(), undefined=StrictUndefined, autoescape=True, trim_blocks=True)


def render_page(name: str, **values: object) -> str:
    """The HTML that a template makes of these values."""
    return page_templates().get_template(name).render(values)


def render_text(name: str, **values: object) -> str:
    """The plain text, or Python, that a template makes of these values."""
    environment = Environment(
        loader=_loader(),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(values)


def _loader() -> FileSystemLoader:
    return FileSystemLoader(Workspace.here().assets / "templates")
