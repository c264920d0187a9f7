"""Key pairs: unguessable, kept, revocable, readable by their owner only."""

from __future__ import annotations

import stat
from pathlib import Path

from localaws.state.keys import KeyRing


def test_keys_survive_a_restart_and_the_user_stays_the_user(tmp_path: Path) -> None:
    first = KeyRing(tmp_path / "keys.json")
    issued = first.issue("i-1", "ml.g5.2xlarge")
    second = KeyRing(tmp_path / "keys.json")
    assert second.user == first.user
    key = second.get(issued.access_key_id)
    assert key is not None
    assert (key.secret_access_key, key.label, key.instance_type) == (
        issued.secret_access_key,
        "i-1",
        "ml.g5.2xlarge",
    )


def test_a_revoked_key_is_gone_for_good(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys.json")
    issued = ring.issue("i-1", None)
    ring.revoke(issued.access_key_id)
    ring.revoke("AKIAUNKNOWN")
    assert ring.get(issued.access_key_id) is None
    assert KeyRing(tmp_path / "keys.json").get(issued.access_key_id) is None


def test_two_rings_have_nothing_in_common(tmp_path: Path) -> None:
    first, second = (KeyRing(tmp_path / name).user for name in ("a.json", "b.json"))
    assert first.access_key_id != second.access_key_id
    assert first.secret_access_key != second.secret_access_key


def test_the_file_is_private_and_secrets_do_not_print(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys.json")
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert ring.user.secret_access_key not in repr(ring.user)
    assert ring.user.secret_access_key not in repr(ring.get(ring.user.access_key_id))
