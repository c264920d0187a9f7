"""The SQLite database with all records of the embedded AWS.

What is committed survives `kill -9` of the process: the write-ahead log is in the page cache by then. Losing
power may undo the last moments (synchronous=NORMAL), but leaves a consistent file.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import LocalAwsError

_CHECKPOINT_INTERVAL_S = 5.0


class DatabaseError(LocalAwsError):
    """The file cannot be used."""


class Database:
    """A connection that any thread may use; statements queue at a lock and take tens of microseconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            # A checkpoint waits for the disk, for seconds while gigabytes are written: not in a request.
            self._connection.execute("PRAGMA wal_autocheckpoint=0")
            (outcome,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error
        if outcome != "ok":
            raise self._damaged(outcome)
        self._closed = threading.Event()
        self._checkpoints = threading.Thread(target=self._checkpoint, name="checkpoint", daemon=True)
        self._checkpoints.start()

    def _damaged(self, reason: str) -> DatabaseError:
        self._connection.close()
        return DatabaseError(
            f"{self._path} is damaged ({reason.splitlines()[0]}). Move the state folder {self._path.parent} "
            "away and start again: its data is lost, unless you have a backup of this file"
        )

    def script(self, statements: str) -> None:
        """Create tables and indexes (`CREATE … IF NOT EXISTS`)."""
        with self._lock:
            self._connection.executescript(statements)

    def add_columns(self, table: str, columns: Mapping[str, str]) -> None:
        """Give a table of an earlier version the columns (name: definition) that it lacks."""
        present = {row[1] for row in self.query(f"PRAGMA table_info({table})")}
        for name, definition in columns.items():
            if name not in present:
                self.execute(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run one changing statement, durable on return; gives the number of rows it changed."""
        with self._lock:
            return self._connection.execute(statement, parameters).rowcount

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one changing statement for many rows in one transaction."""
        with self.transaction():
            self._connection.executemany(statement, rows)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one reading statement and give all its rows."""
        with self._lock:
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside become durable together, or none does. A nested one joins the outer one."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Stop the checkpoints and close the file."""
        self._closed.set()
        self._checkpoints.join()
        with self._lock:
            self._connection.close()

    def _checkpoint(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        while not self._closed.wait(_CHECKPOINT_INTERVAL_S):
            with suppress(sqlite3.OperationalError):  # a full disk, for example: the next one tries again
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        connection.close()
