"""Resources on disk, which survive a restart."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

from .database import Database

Document = dict[str, Any]

# Listing a thousand records must not parse a thousand documents each time.
_parsed: Callable[[str], Document] = functools.lru_cache(maxsize=8192)(json.loads)


class Store:
    """JSON documents by region, kind and name. Every change is durable when the call returns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.script(
            "CREATE TABLE IF NOT EXISTS resources ("
            " id INTEGER PRIMARY KEY AUTOINCREMENT, region TEXT NOT NULL, kind TEXT NOT NULL,"
            " name TEXT NOT NULL, document TEXT NOT NULL, UNIQUE (region, kind, name));"
            "CREATE INDEX IF NOT EXISTS resources_in_order ON resources (region, kind, id);"
        )

    def put(self, region: str, kind: str, name: str, document: Document) -> None:
        """Create or replace one document; a replaced one keeps its place in `list`."""
        self._database.execute(
            "INSERT INTO resources (region, kind, name, document) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (region, kind, name) DO UPDATE SET document = excluded.document",
            (region, kind, name, json.dumps(document)),
        )

    def get(self, region: str, kind: str, name: str) -> Document | None:
        """The document, as a copy of the caller's own, or None."""
        rows = self._database.query(
            "SELECT document FROM resources WHERE region = ? AND kind = ? AND name = ?", (region, kind, name)
        )
        return json.loads(rows[0][0]) if rows else None

    def delete(self, region: str, kind: str, name: str) -> bool:
        """Remove one document; False if there was none."""
        return bool(
            self._database.execute(
                "DELETE FROM resources WHERE region = ? AND kind = ? AND name = ?", (region, kind, name)
            )
        )

    def list(self, region: str, kind: str) -> list[Document]:
        """All documents of a kind, in the order of their creation.

        Nested values are shared with later callers: who changes one in place must `put` the document.
        """
        rows = self._database.query(
            "SELECT document FROM resources WHERE region = ? AND kind = ? ORDER BY id", (region, kind)
        )
        return [dict(_parsed(row[0])) for row in rows]

    def regions(self) -> Sequence[str]:
        """Every region that holds a document."""
        return [
            row[0] for row in self._database.query("SELECT DISTINCT region FROM resources ORDER BY region")
        ]
