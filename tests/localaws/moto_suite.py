"""Runs moto's own tests of S3 and SageMaker against an embedded AWS, and counts them.

`python -m tests.localaws.moto_suite CHECKOUT [pytest's arguments]`, where CHECKOUT is moto's source with its
`tests` folder, and freezegun is installed. The result, one line per test, goes to `moto-suite.tsv`.
The module is also the pytest plugin of that run: it empties the server before each test.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from localaws.server import lifecycle
from localaws.settings import Settings

_SUITES = ("tests/test_s3", "tests/test_sagemaker")
_OPTIONS = (
    *("-p", "moto_suite", "-p", "no:xdist", "-p", "no:cacheprovider"),
    *("-q", "--timeout=60", "--tb=short", "--continue-on-collection-errors", "--disable-warnings"),
)
_RESULTS = "MOTO_SUITE_RESULTS"
# What the error of a failed test tells about its reason; the first that fits.
_REASONS = {
    "not served": re.compile(r"NotImplemented|UnknownOperation|embedded AWS|[Tt]his AWS"),
    "access control lists, off in new buckets": re.compile(r"AccessControlListNotSupported"),
    "a changed clock": re.compile(r"RequestTimeTooSkewed"),
    "a role that is none": re.compile(r"Value 'arn:aws:sagemaker|Could not assume role|Cross-account"),
}


def main(arguments: list[str]) -> int:
    """Start a server, run the suites, print how many tests had which result."""
    checkout, *more = arguments
    results = Path("moto-suite.tsv").resolve()
    results.write_text("", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="moto-suite-") as folder:
        state_dir = Path(folder) / "state"
        lifecycle.up(state_dir, Settings())
        try:
            subprocess.run(
                [sys.executable, "-m", "pytest", *_OPTIONS, *(more or _SUITES)],
                cwd=checkout,
                env=_environment(lifecycle.environment(state_dir), results),
                check=False,
            )
        finally:
            lifecycle.down(state_dir)
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for line in results.read_text(encoding="utf-8").splitlines():
        name, outcome, reason, _ = line.split("\t")
        counts[name.split("/")[1], f"{outcome} {reason}".strip()] += 1
    for (suite, outcome), count in sorted(counts.items()):
        print(f"{suite:16} {count:4} {outcome}")
    return 0


def _environment(variables: dict[str, str], results: Path) -> dict[str, str]:
    here = Path(__file__).resolve().parent
    folders = [str(here), str(here.parents[1] / "scripts"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        **variables,
        # moto's tests are a package named `tests`, too: this module is found by its own folder.
        "PYTHONPATH": os.pathsep.join(folders),
        "TEST_SERVER_MODE": "true",
        "TEST_SERVER_MODE_ENDPOINT": variables["AWS_ENDPOINT_URL"],
        "AWS_MAX_ATTEMPTS": "1",
        _RESULTS: str(results),
    }


def pytest_configure() -> None:
    """The client keeps the server's key pair, and a reset is done by this module."""
    from moto.core.config import default_user_config
    from moto.core.models import ServerModeMockAWS

    default_user_config["core"]["mock_credentials"] = False
    pytest.MonkeyPatch().setattr(ServerModeMockAWS, "reset", lambda self: None)


@pytest.fixture(autouse=True)
def empty_server() -> Iterator[None]:
    """Nothing is left of the test before."""
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
    for bucket in s3.list_buckets()["Buckets"]:
        with contextlib.suppress(ClientError):  # a locked object stays, and its bucket
            _remove_bucket(bucket["Name"], bucket.get("BucketRegion", "us-east-1"))
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    for endpoint in sagemaker.list_endpoints()["Endpoints"]:
        with contextlib.suppress(ClientError):
            sagemaker.delete_endpoint(EndpointName=endpoint["EndpointName"])
    for config in sagemaker.list_endpoint_configs()["EndpointConfigs"]:
        sagemaker.delete_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
    for model in sagemaker.list_models()["Models"]:
        sagemaker.delete_model(ModelName=model["ModelName"])
    yield


def _remove_bucket(name: str, region: str) -> None:
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name=region)
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(
                Bucket=name, Key=item["Key"], VersionId=item["VersionId"], BypassGovernanceRetention=True
            )
    for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    s3.delete_bucket(Bucket=name)


def pytest_runtest_logreport(report: Any) -> None:
    """One line per test: name, outcome, kind of reason, the error's last line."""
    if report.when != "call" and report.outcome == "passed":
        return
    if report.when == "teardown" and report.outcome != "failed":
        return
    text = str(report.longrepr or "")
    errors = [line for line in text.splitlines() if line.startswith("E ")]
    last = (errors[0] if errors else text[-200:]).replace("\t", " ").replace("\n", " ")
    reason = ""
    if report.outcome == "failed":
        reason = next((name for name, words in _REASONS.items() if words.search(text)), "other")
    with Path(os.environ[_RESULTS]).open("a", encoding="utf-8") as results:
        results.write(f"{report.nodeid}\t{report.outcome}\t{reason}\t{last}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
