"""Properties of a start that no record has: they are named, and widen the interval."""

from __future__ import annotations

import math

from loadbench.predict.coefficients import Coefficients
from loadbench.predict.start import StartSpec
from loadbench.results import formatting

# Standard deviations of logarithms, added in quadrature, for each property that was never measured.
_EXTRA = {"path": 0.15, "instance type": 0.10, "image": 0.10}
_EXTRA_OF_SIZE = 0.15  # for each factor of e outside the measured sizes


def unfamiliar(start: StartSpec, coefficients: Coefficients) -> tuple[tuple[str, ...], float]:
    """Sentences about what the records do not cover, and by how much the interval grows."""
    fitted = coefficients.fitted
    if not fitted.records:
        kind = "the embedded AWS" if start.emulated else "AWS"
        return (f"no record of a start on {kind}: published figures only",), 0.0
    notes, squares = [], 0.0
    for what, value, known in (
        ("path", start.path, fitted.paths),
        ("instance type", start.instance_type, fitted.instance_types),
        ("image", start.image_name, fitted.images),
    ):
        if value not in known and not (start.emulated and what != "path"):
            notes.append(f"{what} {value} is in no record (fitted on {', '.join(sorted(known))})")
            squares += _EXTRA[what] ** 2
    low, high = fitted.sizes_bytes
    beyond = max(math.log(low / start.weights_bytes), math.log(start.weights_bytes / high), 0.0)
    if beyond > math.log(1.1):
        sizes = f"{formatting.size_bytes(low)} to {formatting.size_bytes(high)}"
        notes.append(f"model of {formatting.size_bytes(start.weights_bytes)} is outside the fitted {sizes}")
        squares += (_EXTRA_OF_SIZE * beyond) ** 2
    return tuple(notes), math.sqrt(squares)
