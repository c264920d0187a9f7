"""What lies in a state folder: whose it must be, what damage does, and what is swept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from localaws.errors import LocalAwsError
from localaws.server import lifecycle
from localaws.settings import SettingsError, read_settings
from localaws.state.files import StateFolderError, state_folder
from localaws.state.keys import KeyFileError, KeyRing

from ..conftest import EmbeddedAws


def test_a_folder_that_others_can_write_to_is_refused_unless_it_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    assert state_folder(folder).stat().st_mode & 0o777 == 0o700
    (folder / "planted").write_text("x")
    folder.chmod(0o770)
    with pytest.raises(StateFolderError, match="chmod 700"):
        state_folder(folder)
    with pytest.raises(StateFolderError, match="others may write"):
        lifecycle.up(folder, None)
    folder.chmod(0o755)
    assert state_folder(folder).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_or_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / "keys.json").write_text("[]")
    os.chown(folder / "keys.json", 12345, -1)
    with pytest.raises(StateFolderError, match=r"keys.json .* another user"):
        state_folder(folder)
    os.chown(folder, 12345, -1)
    with pytest.raises(StateFolderError, match="uid 12345"):
        state_folder(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"label": "user"}]', "nul\x00", "[" * 100_000])
def test_a_damaged_key_file_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(KeyFileError, match=r"keys.json is damaged.*remove the file"):
        KeyRing(tmp_path / "keys.json")


@pytest.mark.parametrize("name", ["localaws.sqlite3", "keys.json", "settings.json"])
def test_a_damaged_file_stops_the_start_with_a_sentence_and_no_traceback(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "state"
    lifecycle.up(folder, None)
    lifecycle.down(folder)
    for extra in folder.glob("localaws.sqlite3-*"):
        extra.unlink()
    (folder / "daemon.log").unlink()
    (folder / name).write_bytes(b"this is no such file" * 500)
    with pytest.raises(LocalAwsError) as caught:
        lifecycle.up(folder, None)
    assert f"{name} is damaged" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("name", ["settings.json", "daemon.lock"])
def test_a_folder_in_the_place_of_a_file_stops_the_start_with_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "state" / name).mkdir(parents=True)
    (tmp_path / "state").chmod(0o700)
    with pytest.raises(LocalAwsError) as caught:
        lifecycle.up(tmp_path / "state", None)
    assert name in str(caught.value)
    assert "Is a directory" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"faults": "x"}'])
def test_damaged_settings_are_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(SettingsError, match="settings"):
        read_settings(tmp_path / "settings.json")


@pytest.mark.parametrize(
    "document",
    ["", "{}", "[]", '{"pid": 1, "port": "80"}', '{"pid": true, "port": 1}', '{"pid": 1, "port": 0}'],
)
def test_a_damaged_daemon_file_does_not_keep_the_server_from_starting(tmp_path: Path, document: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / "daemon.json").write_text(document)
    try:
        assert lifecycle.up(folder, None)["running"] is True
    finally:
        lifecycle.down(folder)


def test_a_daemon_file_of_another_process_is_not_believed(own_aws: EmbeddedAws) -> None:
    path = own_aws.state_dir / "daemon.json"
    described: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({"pid": os.getpid(), "port": 9}))
    with pytest.raises(LocalAwsError, match="does not listen"):
        lifecycle.environment(own_aws.state_dir)
    path.write_text(json.dumps(described))


def test_what_a_killed_server_left_half_written_is_swept(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / ".keys.json.4711").write_text("half")
    (folder / "mine.txt").write_text("kept")
    lifecycle.up(folder, None)
    lifecycle.down(folder)
    assert not (folder / ".keys.json.4711").exists()
    assert (folder / "mine.txt").exists()


def test_roles_come_back_after_a_restart_without_anything_that_runs_when_read(own_aws: EmbeddedAws) -> None:
    iam = own_aws.client("iam")
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    made = iam.create_role(RoleName="kept", AssumeRolePolicyDocument=policy)["Role"]
    iam.create_role(RoleName="gone", AssumeRolePolicyDocument=policy)
    iam.put_role_policy(RoleName="kept", PolicyName="p", PolicyDocument=policy)
    iam.delete_role(RoleName="gone")
    assert not list(own_aws.state_dir.rglob("*.pickle"))
    lifecycle.down(own_aws.state_dir)
    lifecycle.up(own_aws.state_dir, None)
    iam = own_aws.client("iam")
    roles = iam.list_roles()["Roles"]
    assert [(role["RoleName"], role["RoleId"]) for role in roles] == [("kept", made["RoleId"])]
    assert iam.list_role_policies(RoleName="kept")["PolicyNames"] == ["p"]
