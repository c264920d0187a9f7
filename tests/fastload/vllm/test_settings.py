"""What the user may say to the loader, and the words for what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.errors import StreamError
from fastload.vllm import early_start
from fastload.vllm.settings import Settings, read_settings


def test_the_argument_wins_over_the_environment() -> None:
    environment = {"FASTLOAD_LOCATION": "s3://one/", "FASTLOAD_CONNECTIONS": "8"}
    assert read_settings(None, environment) == Settings("s3://one/", {}, 8)
    assert read_settings({"location": "s3://two/"}, environment) == Settings("s3://two/", {}, 8)


def test_a_draft_model_has_a_location_of_its_own() -> None:
    settings = read_settings(None, {"FASTLOAD_LOCATIONS": '{"/models/draft": "s3://draft/"}'})
    assert settings.locations == {"/models/draft": "s3://draft/"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"concurrency": 16}, "unknown keys for the load format fastload: concurrency"),
        ({"connections": 0}, "connections is 0"),
        ({"connections": True}, "connections is True"),
        ({"location": ["s3://a/"]}, "location is"),
        ({"locations": "s3://a/"}, "locations must be an object"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(StreamError, match=words):
        read_settings(given, {})


def test_a_variable_that_is_no_json_is_named() -> None:
    with pytest.raises(StreamError, match="FASTLOAD_CONNECTIONS=many is not JSON"):
        read_settings(None, {"FASTLOAD_CONNECTIONS": "many"})


@pytest.mark.parametrize(
    ("command", "is_server"),
    [
        (["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "x"], True),
        (["/opt/venv/bin/python", "/opt/venv/bin/vllm", "serve", "x"], True),
        (["python3", "-m", "pip", "install", "vllm"], False),
        (["/opt/venv/bin/python", "/opt/venv/bin/vllm", "bench"], False),
        (["python3", "-c", "from multiprocessing.spawn import spawn_main"], False),
    ],
)
def test_only_a_server_begins_at_its_pythons_start(
    command: list[str], is_server: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []
    monkeypatch.setattr(early_start, "begin", lambda: begun.append(True))
    early_start.begin_in_server(command)
    assert bool(begun) is is_server
