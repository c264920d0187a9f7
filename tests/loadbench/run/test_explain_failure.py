"""Every failure that is known is recognised from the service's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.errors import RunError, ServiceError, UsageError
from loadbench.run.explain_failure import EXPLANATIONS, explain, explained, telling_lines

# What the services and containers wrote; names, accounts and figures replaced. Name, tab, words.
FIXTURE = Path(__file__).parent / "fixtures" / "failures.tsv"
RECORDED = [line.split("\t", 1) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("name", "words"), RECORDED)
def test_recorded_words_are_recognised(name: str, words: str) -> None:
    found = explain(words)
    assert found is not None
    assert found.name == name


def test_every_known_failure_has_a_recorded_message() -> None:
    assert {known.name for known in EXPLANATIONS} == {name for name, _ in RECORDED}


@pytest.mark.parametrize(
    "words",
    [
        "Free disk space, or set LOADBENCH_CACHE_DIR to a folder on another disk.",
        "an endpoint of this name exists already",
        "INFO  ModelServer Starting model server ...",
    ],
)
def test_words_that_mean_nothing_known_are_not_explained(words: str) -> None:
    assert explain(words) is None


def test_the_containers_lines_explain_what_the_service_cannot() -> None:
    error = RunError("The primary container did not pass the ping health check.", details="Terraform's words")
    log = ["INFO  ModelServer Starting model server ...", "torch.OutOfMemoryError: CUDA out of memory."]
    reported = explained(error, log)
    assert "ran out of memory" in reported.message
    assert "OPTION_MAX_MODEL_LEN" in reported.remedy
    assert reported.details.splitlines() == [
        "Terraform's words",
        "torch.OutOfMemoryError: CUDA out of memory.",
    ]


def test_the_services_words_stay_in_the_message() -> None:
    reported = explained(RunError("ml.g5.2xlarge for endpoint usage is 0"))
    assert reported.message.startswith("ml.g5.2xlarge for endpoint usage is 0\n")
    assert str(reported) == reported.message


def test_a_cause_that_the_service_named_is_not_overruled_by_the_log() -> None:
    reported = explained(
        RunError("Unable to provision requested ML compute capacity"), ["CUDA out of memory"]
    )
    assert "no free capacity" in reported.message


def test_an_unknown_failure_keeps_its_own_remedy_and_gets_the_last_lines() -> None:
    reported = explained(
        RunError("something new", remedy="Try this."), [f"line {number}" for number in range(40)]
    )
    assert reported.message == "something new"
    assert reported.remedy == "Try this."
    assert reported.details.splitlines()[-1] == "line 39"
    assert len(reported.details.splitlines()) == 3


def test_lines_about_trouble_go_before_the_last_ones() -> None:
    assert telling_lines(["an error", *["fine"] * 30]) == ["an error"]


# The end of vLLM 0.32's log when a worker cannot load the weights: two processes, two tracebacks.
VLLM_LOG = """\
(EngineCore pid=61) ERROR 11-26 18:00:01 [core.py:1042] EngineCore failed to start.
(EngineCore pid=61) ERROR 11-26 18:00:01 [core.py:1042] Traceback (most recent call last):
(EngineCore pid=61) ERROR 11-26 18:00:01 [core.py:1042] fastload.errors.StreamError: s3://w/m/ does not exist
(EngineCore pid=61) Process EngineCore:
(EngineCore pid=61) Traceback (most recent call last):
(EngineCore pid=61) fastload.errors.StreamError: s3://w/m/ does not exist (NoSuchBucket).
(APIServer pid=12) Traceback (most recent call last):
(APIServer pid=12)     raise RuntimeError("Engine core initialization failed. "
(APIServer pid=12) RuntimeError: Engine core initialization failed. See root cause above.
ERROR: the server process has exited with status 1
""".splitlines()


def test_the_error_that_a_servers_last_words_refer_to_is_told_first() -> None:
    assert telling_lines(VLLM_LOG)[0].endswith("s3://w/m/ does not exist (NoSuchBucket).")
    reported = explained(ServiceError("did not pass the ping health check"), VLLM_LOG)
    assert "The engine's plug-in could not load the weights." in reported.message


@pytest.mark.parametrize(
    "message",
    [
        "the weights are corrupt: model.safetensors has a wrong checksum",
        "no process answers on port 8080: Connection refused",
        "the process of the embedded AWS exited",
        "the image is not found in images.yaml",
        "the prompt says: CUDA out of memory",
        "Access Denied by the policy of this project",
    ],
)
@pytest.mark.parametrize("kind", [RunError, UsageError])
def test_an_error_of_our_own_keeps_its_advice(kind: type[RunError], message: str) -> None:
    """Its message may hold words that mean something else where a service says them."""
    assert explain(message) is not None
    reported = explained(kind(message, remedy="Do this."), ["CUDA out of memory"])
    assert (reported.message, reported.remedy) == (message, "Do this.")
    assert reported.details == "CUDA out of memory"


def test_what_a_service_said_is_explained_beside_general_advice() -> None:
    reported = explained(ServiceError("terraform apply failed: ResourceLimitExceeded", remedy="See the log."))
    assert "quota" in reported.message
    assert "Service Quotas" in reported.remedy
