"""djl-serving, the front end of the LMI containers: its downloads before it starts the engine."""

from __future__ import annotations

import re
from collections.abc import Sequence

from loadbench.results.timeline import Span
from loadbench.run.observe.engines.starts import first_time
from loadbench.run.observe.lines import Entry

_DOWNLOAD_STARTS = re.compile(r"S3 url found, start downloading from ")
_DOWNLOAD_ENDS = re.compile(r"Download completed!")


def read(entries: Sequence[Entry]) -> list[Span]:
    """The download from S3 by djl-serving, before it starts the engine."""
    start_s = first_time(entries, _DOWNLOAD_STARTS)
    end_s = first_time(entries, _DOWNLOAD_ENDS)
    if start_s is None or end_s is None or end_s < start_s:
        return []
    return [Span(name="artifact_download", start_s=start_s, end_s=end_s, clock="container", worker="serving")]
