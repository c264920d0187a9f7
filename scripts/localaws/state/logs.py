"""Log groups, streams and events on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import AwsError
from .database import Database

Event = tuple[int, str]


@dataclass(frozen=True)
class LogGroup:
    """One log group."""

    name: str
    created_ms: int
    stored_bytes: int


@dataclass(frozen=True)
class LogStream:
    """One stream of a group; the times are None while it holds no event."""

    name: str
    created_ms: int
    first_event_ms: int | None
    last_event_ms: int | None
    last_ingestion_ms: int | None


@dataclass(frozen=True)
class LogEvent:
    """One line. `event_id` grows with every event that is appended anywhere."""

    event_id: int
    stream: str
    timestamp_ms: int
    ingestion_ms: int
    message: str


class LogStore:
    """Appends and reads events; every append is durable when it returns."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        database.script(
            "CREATE TABLE IF NOT EXISTS log_groups ("
            " region TEXT NOT NULL, name TEXT NOT NULL, created_ms INTEGER NOT NULL,"
            " PRIMARY KEY (region, name));"
            "CREATE TABLE IF NOT EXISTS log_streams ("
            " id INTEGER PRIMARY KEY AUTOINCREMENT, region TEXT NOT NULL, log_group TEXT NOT NULL,"
            " name TEXT NOT NULL, created_ms INTEGER NOT NULL,"
            " UNIQUE (region, log_group, name));"
            "CREATE TABLE IF NOT EXISTS log_events ("
            " id INTEGER PRIMARY KEY AUTOINCREMENT, stream_id INTEGER NOT NULL,"
            " timestamp_ms INTEGER NOT NULL, ingestion_ms INTEGER NOT NULL, message TEXT NOT NULL);"
            "CREATE INDEX IF NOT EXISTS log_events_in_order ON log_events (stream_id, timestamp_ms, id);"
        )

    def create(self, region: str, group: str, stream: str | None = None) -> bool:
        """Create the group, and the stream in it, unless they exist; False if nothing was new."""
        now_ms = int(self._clock() * 1000)
        with self._database.transaction():
            created = self._database.execute(
                "INSERT OR IGNORE INTO log_groups VALUES (?, ?, ?)", (region, group, now_ms)
            )
            if stream is not None:
                created += self._database.execute(
                    "INSERT OR IGNORE INTO log_streams (region, log_group, name, created_ms)"
                    " VALUES (?, ?, ?, ?)",
                    (region, group, stream, now_ms),
                )
        return created > 0

    def append(self, region: str, group: str, stream: str, events: Sequence[Event]) -> None:
        """Append (epoch milliseconds, line) pairs; group and stream are created where missing."""
        now_ms = int(self._clock() * 1000)
        with self._database.transaction():
            stream_id = self._stream_id(region, group, stream)
            if stream_id is None:
                self.create(region, group, stream)
                stream_id = self._stream_id(region, group, stream)
            self._database.execute_many(
                "INSERT INTO log_events (stream_id, timestamp_ms, ingestion_ms, message) VALUES (?, ?, ?, ?)",
                [(stream_id, timestamp_ms, now_ms, message) for timestamp_ms, message in events],
            )

    def delete_group(self, region: str, group: str) -> bool:
        """Remove a group with all in it; False if there was none."""
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM log_events WHERE stream_id IN"
                " (SELECT id FROM log_streams WHERE region = ? AND log_group = ?)",
                (region, group),
            )
            self._database.execute(
                "DELETE FROM log_streams WHERE region = ? AND log_group = ?", (region, group)
            )
            removed = self._database.execute(
                "DELETE FROM log_groups WHERE region = ? AND name = ?", (region, group)
            )
        return removed > 0

    def delete_stream(self, region: str, group: str, stream: str) -> bool:
        """Remove one stream with its events; False if there was none."""
        with self._database.transaction():
            stream_id = self._stream_id(region, group, stream)
            self._database.execute("DELETE FROM log_events WHERE stream_id = ?", (stream_id,))
            return self._database.execute("DELETE FROM log_streams WHERE id = ?", (stream_id,)) > 0

    def groups(self, region: str, prefix: str = "") -> list[LogGroup]:
        """The groups whose name starts with `prefix`, by name."""
        rows = self._database.query(
            "SELECT name, created_ms, (SELECT coalesce(sum(length(message) + 26), 0) FROM log_events"
            "  WHERE stream_id IN"
            "   (SELECT id FROM log_streams WHERE region = g.region AND log_group = g.name))"
            " FROM log_groups g WHERE region = ? AND substr(name, 1, ?) = ? ORDER BY name",
            (region, len(prefix), prefix),
        )
        return [LogGroup(*row) for row in rows]

    def streams(self, region: str, group: str, prefix: str = "") -> list[LogStream]:
        """The streams of a group, by name. Raises ResourceNotFoundException for an unknown group."""
        self._need_group(region, group)
        rows = self._database.query(
            "SELECT s.name, s.created_ms, min(e.timestamp_ms), max(e.timestamp_ms), max(e.ingestion_ms)"
            " FROM log_streams s LEFT JOIN log_events e ON e.stream_id = s.id"
            " WHERE region = ? AND log_group = ? AND substr(s.name, 1, ?) = ? GROUP BY s.id ORDER BY s.name",
            (region, group, len(prefix), prefix),
        )
        return [LogStream(*row) for row in rows]

    def events(
        self,
        region: str,
        group: str,
        streams: Sequence[str] | None = None,
        start_ms: int = 0,
        end_ms: int = 2**62,
        after: Event | tuple[int, int] = (-1, 0),
        limit: int = 10_000,
    ) -> list[LogEvent]:
        """Events with start_ms <= timestamp < end_ms in the order of (timestamp, event id).

        `after` is the (timestamp, event id) of the last event already seen. Raises ResourceNotFoundException
        where the group, or a named stream, does not exist.
        """
        known = {stream.name for stream in self.streams(region, group)} if streams else set()
        self._need_group(region, group)
        for stream in streams or ():
            if stream not in known:
                raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        chosen = "" if streams is None else f" AND s.name IN ({','.join('?' * len(streams))})"
        rows = self._database.query(
            "SELECT e.id, s.name, e.timestamp_ms, e.ingestion_ms, e.message"  # noqa: S608 (only placeholders)
            " FROM log_events e JOIN log_streams s ON s.id = e.stream_id"
            " WHERE s.region = ? AND s.log_group = ? AND e.timestamp_ms >= ? AND e.timestamp_ms < ?"
            f" AND (e.timestamp_ms, e.id) > (?, ?){chosen} ORDER BY e.timestamp_ms, e.id LIMIT ?",
            (region, group, start_ms, end_ms, *after, *(streams or ()), limit),
        )
        return [LogEvent(*row) for row in rows]

    def _need_group(self, region: str, group: str) -> None:
        if not self._database.query(
            "SELECT 1 FROM log_groups WHERE region = ? AND name = ?", (region, group)
        ):
            raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")

    def _stream_id(self, region: str, group: str, stream: str) -> int | None:
        rows = self._database.query(
            "SELECT id FROM log_streams WHERE region = ? AND log_group = ? AND name = ?",
            (region, group, stream),
        )
        return rows[0][0] if rows else None
