"""Fixtures shared by fastload's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fastload.hostile import HostileStore, hostile_store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileStore]:
    """An S3 server in this process, well-behaved until a fault is ordered."""
    with hostile_store(monkeypatch) as running:
        yield running
