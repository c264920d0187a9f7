"""A target is an address and a key pair in the environment, and for the embedded one nothing else counts."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from loadbench.config import Config, load_config
from loadbench.errors import UsageError
from loadbench.target import localaws, missing_of_local, open_account

CONFIG_FILE = Path(__file__).resolve().parents[2] / "config.yaml"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`open_account` changes this process's variables: given back afterwards."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    # Known to monkeypatch, so that what is set in between is removed again.
    for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "DEFAULT_REGION",
                 "EC2_METADATA_DISABLED", "CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", "x")
        monkeypatch.delenv(f"AWS_{name}")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    localaws(["down"], config(), tmp_path)


def config(**update: object) -> Config:
    return load_config(CONFIG_FILE).model_copy(update=update)


def in_region(region: str) -> dict[str, str]:
    return {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}


def test_nothing_of_the_shell_leads_away_from_the_embedded_aws(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {
        "AWS_PROFILE": "mine",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL_SAGEMAKER": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_USE_FIPS_ENDPOINT": "true",
    }
    for name, value in elsewhere.items():
        monkeypatch.setenv(name, value)
    account = open_account(config(), home)
    assert account.session.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert account.session.client("s3").list_buckets()["Buckets"] == []
    reaching = json.loads(localaws(["env", "--json"], config(), home))
    assert account.environment == reaching | in_region("us-west-2")


def test_on_aws_the_shell_decides_and_the_configuration_names_the_region(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    localaws(["up"], config(), home)
    local = json.loads(localaws(["env", "--json"], config(), home))
    for name, value in (local | in_region("eu-west-1")).items():
        monkeypatch.setenv(name, value)
    account = open_account(config(target="aws"), home)
    assert account.environment == local | in_region("us-west-2")


def test_without_credentials_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UsageError, match="no usable AWS credentials") as caught:
        open_account(config(target="aws"), tmp_path)
    assert "aws configure" in caught.value.remedy


def test_only_what_the_embedded_aws_needs_and_nobody_installed_is_missing() -> None:
    requirements = [
        "click>=8",
        "pydantic>=2; extra == 'local'",
        "no-such-package[iam,sts]>=5.1; extra == 'local'",
        'no.other-package; python_version >= "3.11" and extra == "local"',
        "not-asked-for; extra == 'dev'",
        "not-asked-for-either>=1; extra == 'local-tools'",
    ]
    assert missing_of_local(requirements) == ["no-such-package", "no.other-package"]


def test_the_extra_is_named_in_this_package() -> None:
    assert [text for text in metadata.requires("loadbench") or [] if text.startswith("torch")]
    assert missing_of_local(metadata.requires("loadbench") or []) == []


def test_an_attempt_that_botocore_repeats_in_silence_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([503, 200])

    class Sts(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = next(answers)
            words = b"<GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult>"
            body = b"<GetCallerIdentityResponse>" + words + b"</GetCallerIdentityResponse>"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if status == 200 else 0))
            self.end_headers()
            self.wfile.write(body if status == 200 else b"")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the terminal."""

    with http.server.HTTPServer(("127.0.0.1", 0), Sts) as server, caplog.at_level("INFO", "loadbench"):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        account = open_account(config(target="aws"), Path())
        server.shutdown()
    assert account.account_id == "123456789012"
    (line,) = [record.getMessage() for record in caplog.records if record.name == "loadbench.target"]
    assert line.startswith("sts GetCallerIdentity, attempt 1: ")
