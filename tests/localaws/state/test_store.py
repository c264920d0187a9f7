"""Resources on disk: kept, replaced in place, listed in the order of their creation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localaws.state.database import Database
from localaws.state.store import Store

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(Database(tmp_path / "db.sqlite3"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=st.dictionaries(st.text(), _JSON, max_size=4), name=st.text(min_size=1))
def test_any_document_comes_back(store: Store, document: dict[str, Any], name: str) -> None:
    store.put("r", "k", name, document)
    assert store.get("r", "k", name) == document
    assert document in store.list("r", "k")


def test_replacing_keeps_the_place_in_the_list(store: Store) -> None:
    for name in ("b", "a", "c"):
        store.put("r", "k", name, {"name": name})
    store.put("r", "k", "b", {"name": "b", "changed": True})
    assert [document["name"] for document in store.list("r", "k")] == ["b", "a", "c"]
    assert store.list("r", "k")[0]["changed"]


def test_kinds_and_regions_are_apart(store: Store) -> None:
    store.put("eu-west-1", "model", "x", {})
    assert store.get("us-east-1", "model", "x") is None
    assert store.list("eu-west-1", "endpoint") == []
    assert store.regions() == ["eu-west-1"]
    assert store.delete("eu-west-1", "model", "x")
    assert not store.delete("eu-west-1", "model", "x")


def test_changing_what_was_listed_or_read_changes_nothing_kept(store: Store) -> None:
    store.put("r", "k", "n", {"status": "old"})
    store.list("r", "k")[0]["status"] = "new"
    found = store.get("r", "k", "n")
    assert found is not None
    found["status"] = "new"
    assert store.list("r", "k") == [{"status": "old"}]
    assert store.get("r", "k", "n") == {"status": "old"}


def test_a_failed_transaction_leaves_no_trace(tmp_path: Path) -> None:
    database = Database(tmp_path / "db.sqlite3")
    store = Store(database)
    with pytest.raises(RuntimeError), database.transaction():
        store.put("r", "k", "first", {})
        with database.transaction():
            store.put("r", "k", "second", {})
        raise RuntimeError
    assert store.list("r", "k") == []
