"""Formats numbers and names; all reports use these functions, so that they agree."""

from __future__ import annotations

from typing import Literal

from loadbench.results.statistics import Estimate

Unit = Literal["s", "bytes", "USD", "tokens/s"]
MISSING = "–"
COLD_START = "cold start"  # the name of the time from request to in service, in every report
WEIGHT_LOADING = "weight loading"
MINUS = "−"  # a typographic minus is as wide as a digit


def seconds(value: float | None, *, signed: bool = False) -> str:
    """Seconds, in milliseconds below one: 145 ms, 5.27 s, 632.0 s."""
    if value is None:
        return MISSING
    size = abs(value)
    if size < 0.0005:
        return "0 s"
    text = f"{size * 1000:.0f} ms" if size < 0.9995 else f"{size:.2f} s" if size < 9.995 else f"{size:,.1f} s"
    return _sign(value, signed) + text


def size_bytes(value: float | None, *, signed: bool = False) -> str:
    """Bytes in decimal units, as networks and disks are sold: 270.1 MB."""
    if value is None:
        return MISSING
    size, unit = abs(value), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    text = f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
    return text if text == "0 B" else _sign(value, signed) + text


def usd(value: float | None, *, signed: bool = False) -> str:
    """Dollars with three significant digits: $0.266, $12.40."""
    if value is None:
        return MISSING
    size = abs(value)
    text = "$0" if size == 0 else f"${size:.3g}" if 1e-4 <= size < 1 else f"${size:,.2f}"
    if 0 < size < 1e-4:
        text = f"${size:.6f}"
    return _sign(value, signed and size > 0) + text


def rate(value: float | None, *, signed: bool = False) -> str:
    """Tokens a second."""
    return MISSING if value is None else f"{_sign(value, signed)}{abs(value):,.1f} tok/s"


def quantity(value: float | None, unit: Unit, *, signed: bool = False) -> str:
    """A value in its unit."""
    formats = {"s": seconds, "bytes": size_bytes, "USD": usd, "tokens/s": rate}
    return formats[unit](value, signed=signed)


def times(ratio: float | None) -> str:
    """A ratio: ×1.31."""
    if ratio is None:
        return MISSING
    return f"×{_ratio_digits(ratio)}"


def interval(estimate: Estimate | None) -> str:
    """The interval of a ratio: 1.18–1.46, or a dash without one."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return MISSING
    return "–".join(_ratio_digits(end) for end in (estimate.low, estimate.high))


def name(identifier: str) -> str:
    """A phase's name as words: weights_to_host becomes weights to host."""
    return identifier.replace("_", " ")


def ran_beside(own_s: float | None, busy_s: float | None) -> bool:
    """Whether a phase was noticeably busy in time that belongs to another phase."""
    return own_s is not None and busy_s is not None and busy_s > max(own_s * 1.01, own_s + 0.02)


def age(value_s: float) -> str:
    """An age in the largest fitting unit: 40 minutes, 3 hours, 2 days."""
    for unit_s, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if value_s >= unit_s:
            count = int(value_s // unit_s)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return "less than a minute"


def duration(value_s: float) -> str:
    """Whole minutes and seconds, as in 10m 32s."""
    minutes, rest = divmod(int(value_s), 60)
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def _ratio_digits(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:,.0f}"


def _sign(value: float, signed: bool) -> str:
    return MINUS if value < 0 else "+" if signed else ""
