"""Metric data points on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .database import Database


@dataclass(frozen=True)
class Metric:
    """One series."""

    namespace: str
    name: str
    dimensions: dict[str, str]


@dataclass(frozen=True)
class Datapoint:
    """One sample of a series."""

    timestamp_s: float
    value: float
    unit: str


class MetricStore:
    """Samples by namespace, name and dimensions, as they were put: nothing is averaged on the way in."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.script(
            "CREATE TABLE IF NOT EXISTS metrics ("
            " id INTEGER PRIMARY KEY, region TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,"
            " dimensions TEXT NOT NULL, UNIQUE (region, namespace, name, dimensions));"
            "CREATE TABLE IF NOT EXISTS datapoints ("
            " metric_id INTEGER NOT NULL, timestamp_s REAL NOT NULL, value REAL NOT NULL,"
            " unit TEXT NOT NULL);"
            "CREATE INDEX IF NOT EXISTS datapoints_in_order ON datapoints (metric_id, timestamp_s);"
        )

    def put(
        self,
        region: str,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        value: float,
        unit: str,
        timestamp_s: float,
    ) -> None:
        """Add one sample."""
        series = (region, namespace, name, _text(dimensions))
        with self._database.transaction():
            self._database.execute(
                "INSERT OR IGNORE INTO metrics (region, namespace, name, dimensions) VALUES (?, ?, ?, ?)",
                series,
            )
            self._database.execute(
                "INSERT INTO datapoints SELECT id, ?, ?, ? FROM metrics"
                " WHERE region = ? AND namespace = ? AND name = ? AND dimensions = ?",
                (timestamp_s, value, unit, *series),
            )

    def list(self, region: str, namespace: str | None = None, name: str | None = None) -> list[Metric]:
        """All series, those with that namespace and name where given."""
        rows = self._database.query(
            "SELECT namespace, name, dimensions FROM metrics WHERE region = ?1"
            " AND (?2 IS NULL OR namespace = ?2) AND (?3 IS NULL OR name = ?3) ORDER BY id",
            (region, namespace, name),
        )
        return [Metric(row[0], row[1], json.loads(row[2])) for row in rows]

    def datapoints(
        self,
        region: str,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        start_s: float,
        end_s: float,
    ) -> Sequence[Datapoint]:
        """The samples of one series with start_s <= time < end_s, by time."""
        rows = self._database.query(
            "SELECT timestamp_s, value, unit FROM datapoints JOIN metrics ON id = metric_id"
            " WHERE region = ? AND namespace = ? AND name = ? AND dimensions = ?"
            " AND timestamp_s >= ? AND timestamp_s < ? ORDER BY timestamp_s",
            (region, namespace, name, _text(dimensions), start_s, end_s),
        )
        return [Datapoint(*row) for row in rows]


def _text(dimensions: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(dimensions.items())))
