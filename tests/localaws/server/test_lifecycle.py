"""Up, down, status, env: one server per folder, and nothing lost between."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from localaws.cli import main
from localaws.server import lifecycle, lock
from localaws.settings import Settings, parse_settings

from ..conftest import EmbeddedAws


def test_starting_twice_at_once_is_one_server(tmp_path: Path) -> None:
    reports: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: reports.append(lifecycle.up(tmp_path / "state", None)))
        for _ in range(4)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(reports) == 4
        assert len({report["pid"] for report in reports}) == 1
    finally:
        lifecycle.down(tmp_path / "state")


def test_two_folders_are_two_servers(own_aws: EmbeddedAws, tmp_path: Path) -> None:
    other = EmbeddedAws(tmp_path / "other")
    lifecycle.up(other.state_dir, None)
    try:
        own_aws.client("s3").create_bucket(Bucket="mine")
        assert other.client("s3").list_buckets()["Buckets"] == []
        assert other.user.access_key_id != own_aws.user.access_key_id
    finally:
        lifecycle.down(other.state_dir)
    assert lifecycle.status(own_aws.state_dir)["running"]


def test_port_and_keys_are_kept_over_a_restart(own_aws: EmbeddedAws) -> None:
    before = own_aws.variables
    assert lifecycle.down(own_aws.state_dir)
    lifecycle.up(own_aws.state_dir, None)
    assert own_aws.variables == before


def test_another_port_is_taken_when_the_kept_one_is_not_free(own_aws: EmbeddedAws) -> None:
    port = own_aws.port
    lifecycle.down(own_aws.state_dir)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        lifecycle.up(own_aws.state_dir, None)
        assert own_aws.port != port


def test_down_ends_the_process_and_says_whether_one_ran(own_aws: EmbeddedAws) -> None:
    process = psutil.Process(own_aws.pid)
    assert lifecycle.down(own_aws.state_dir)
    process.wait(timeout=5)
    assert not lifecycle.down(own_aws.state_dir)
    assert lifecycle.status(own_aws.state_dir)["running"] is False


def test_a_killed_server_starts_again_with_everything(own_aws: EmbeddedAws) -> None:
    own_aws.apply(network="none", provision_s=1.5)
    own_aws.client("s3").create_bucket(Bucket="kept")
    own_aws.client("s3").put_object(Bucket="kept", Key="key", Body=b"body")
    own_aws.client("iam").create_role(RoleName="kept", AssumeRolePolicyDocument="{}")
    os.kill(own_aws.pid, signal.SIGKILL)
    report = lifecycle.up(own_aws.state_dir, None)
    assert report["settings"]["provision_s"] == 1.5
    assert own_aws.client("s3").get_object(Bucket="kept", Key="key")["Body"].read() == b"body"
    assert own_aws.client("iam").get_role(RoleName="kept")["Role"]["RoleName"] == "kept"


def test_state_is_readable_by_its_owner_only(own_aws: EmbeddedAws) -> None:
    own_aws.client("s3").create_bucket(Bucket="private")
    own_aws.client("s3").put_object(Bucket="private", Key="key", Body=b"body")
    open_to_others = [
        path
        for path in (own_aws.state_dir, *own_aws.state_dir.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []


def test_secret_is_in_no_command_line_and_no_log(own_aws: EmbeddedAws) -> None:
    own_aws.client("s3").list_buckets()
    secret = own_aws.user.secret_access_key
    arguments = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not any(secret in line for line in arguments)
    assert secret not in lifecycle.log_path(own_aws.state_dir).read_text()


def test_it_listens_on_loopback_only(own_aws: EmbeddedAws) -> None:
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(own_aws.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_env_lines_work_in_a_shell(own_aws: EmbeddedAws) -> None:
    lines = CliRunner().invoke(main, ["env", "--state-dir", str(own_aws.state_dir)]).output
    shown = subprocess.check_output(
        ["sh", "-c", lines + 'printf %s "$AWS_ENDPOINT_URL $AWS_CONFIG_FILE"'], text=True
    )
    assert shown == f"http://127.0.0.1:{own_aws.port} /dev/null"


def test_settings_come_from_standard_input_and_show_in_the_status(own_aws: EmbeddedAws) -> None:
    wanted = {"network": "none", "image_pull_s": {"ml.g5.2xlarge": 3}}
    command = ["up", "--state-dir", str(own_aws.state_dir), "--settings", "-", "--json"]
    result = CliRunner().invoke(main, command, input=json.dumps(wanted))
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert report["settings"]["network"] == "none"
    assert parse_settings(report["settings"]).simulated_image_pull_s("ml.g5.2xlarge") == 3
    assert parse_settings(report["settings"]).simulated_image_pull_s("ml.g5.4xlarge") == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "not JSON"),
        ('{"netwrk": "none"}', "netwrk"),
        ('{"faults": [{"kind": "slow_down", "bukket": "x"}]}', "bukket"),
        ('{"faults": [{"kind": "meteor"}]}', "kind"),
        ('{"network": {"first_byte_delay_s": -1}}', "first_byte_delay_s"),
    ],
)
def test_wrong_settings_exit_2_and_name_the_key(tmp_path: Path, text: str, named: str) -> None:
    command = ["up", "--state-dir", str(tmp_path / "state"), "--settings", "-"]
    result = CliRunner().invoke(main, command, input=text)
    assert result.exit_code == 2
    assert named in result.output
    assert not lock.is_locked(tmp_path / "state")


def test_a_server_that_cannot_start_shows_why(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    state_dir.mkdir(mode=0o700)
    (state_dir / "settings.json").write_text("no JSON")
    with pytest.raises(lifecycle.LifecycleError, match="is damaged"):
        lifecycle.up(state_dir, None)


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "localaws", "status", "--json", "--state-dir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": "scripts"}
    assert json.loads(subprocess.check_output(command, env=environment))["running"] is False


def test_a_server_of_another_version_that_refuses_settings_is_said_to_be_one(own_aws: EmbeddedAws) -> None:
    class LaterSettings(Settings):
        novelty: int = 1

    with pytest.raises(lifecycle.LifecycleError, match=r"novelty.*another version: stop it \(down\)"):
        lifecycle.up(own_aws.state_dir, LaterSettings())
