"""`kill -9` of the server at random moments: what was acknowledged is there, nothing is half.

A few kills run with the other tests; LOCALAWS_CRASHES=50 runs more, LOCALAWS_CRASH_SEED draws other moments.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from localaws.server import lifecycle
from localaws.state.database import Database

from ..conftest import EmbeddedAws

pytestmark = pytest.mark.slow

_ROLE = "arn:aws:iam::123456789012:role/crash"
_CRASHES = int(os.environ.get("LOCALAWS_CRASHES", "3"))
_SEED = int(os.environ.get("LOCALAWS_CRASH_SEED", "1"))
_PART_BYTES = 5 << 20


def _content(key: str, size_bytes: int) -> bytes:
    """What an object of that key and size holds: lets a reader tell complete from partial."""
    block = hashlib.sha256(key.encode()).digest() * 32768
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


class Workload:
    """Clients that write until the server dies, and remember what was acknowledged."""

    def __init__(self, aws: EmbeddedAws, turn: int) -> None:
        self._pid = aws.pid
        self._turn = turn
        self._s3, self._iam, self._sagemaker, self._logs_client = (
            aws.client(service) for service in ("s3", "iam", "sagemaker", "logs")
        )
        self.objects: dict[str, int] = {}
        self.deleted: set[str] = set()
        self.roles: list[str] = []
        self.models: list[str] = []
        self.lines: list[str] = []
        self.failures: list[BaseException] = []

    def run(self, kill_after_s: float) -> None:
        """Start all writers, kill the server, wait for the writers to notice."""
        jobs = (self._small_objects, self._large_objects, self._roles, self._models, self._logs)
        threads = [threading.Thread(target=self._until_death, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        killer = threading.Timer(kill_after_s, os.kill, (self._pid, signal.SIGKILL))
        killer.start()
        for thread in (*threads, killer):
            thread.join()

    def _until_death(self, job: Callable[[str], None]) -> None:
        number = 0
        while True:
            try:
                job(f"{self._turn}-{number}")
            except ClientError as error:
                self.failures.append(error)
                return
            except (BotoCoreError, OSError):
                return  # the server is dead
            number += 1

    def _small_objects(self, name: str) -> None:
        key, size_bytes = f"small/{name}", 1000 + len(name)
        self._s3.put_object(Bucket="crash", Key=key, Body=_content(key, size_bytes))
        self.objects[key] = size_bytes
        # Replacing and deleting must be whole, too.
        self._s3.put_object(Bucket="crash", Key=key, Body=_content(key, 2 * size_bytes))
        self.objects[key] = 2 * size_bytes
        if name.endswith("3"):
            del self.objects[key]
            self._s3.delete_object(Bucket="crash", Key=key)
            self.deleted.add(key)

    def _large_objects(self, name: str) -> None:
        key = f"large/{name}"
        content = _content(key, _PART_BYTES + 1000)
        names = {"Bucket": "crash", "Key": key}
        upload = names | {"UploadId": self._s3.create_multipart_upload(**names)["UploadId"]}
        parts = []
        for number, body in enumerate((content[:_PART_BYTES], content[_PART_BYTES:]), 1):
            etag = self._s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
        self._s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        self.objects[key] = len(content)

    def _roles(self, name: str) -> None:
        self._iam.create_role(RoleName=f"role-{name}", AssumeRolePolicyDocument="{}")
        self.roles.append(f"role-{name}")

    def _models(self, name: str) -> None:
        self._sagemaker.create_model(
            ModelName=f"model-{name}",
            ExecutionRoleArn=_ROLE,
            PrimaryContainer={"Image": "example.test/lmi:0.32.0-lmi14.0.0-cu126"},
        )
        self.models.append(f"model-{name}")

    def _logs(self, name: str) -> None:
        events = [{"timestamp": 1000, "message": f"line {name}"}]
        self._logs_client.put_log_events(logGroupName="crash", logStreamName="s", logEvents=events)
        self.lines.append(f"line {name}")


@pytest.mark.timeout(60 + 20 * _CRASHES)
def test_nothing_acknowledged_is_lost_and_nothing_is_half(own_aws: EmbeddedAws) -> None:
    own_aws.client("s3").create_bucket(Bucket="crash")
    assert own_aws.make_role("crash") == _ROLE
    own_aws.client("logs").create_log_group(logGroupName="crash")
    own_aws.client("logs").create_log_stream(logGroupName="crash", logStreamName="s")
    chance = random.Random(_SEED)
    promised = Workload(own_aws, -1)
    for turn in range(_CRASHES):
        workload = Workload(own_aws, turn)
        workload.run(kill_after_s=chance.uniform(0.05, 1.5))
        assert workload.failures == []
        promised.objects |= workload.objects
        promised.deleted |= workload.deleted
        promised.roles += workload.roles
        promised.models += workload.models
        promised.lines += workload.lines
        lifecycle.up(own_aws.state_dir, None)
        _check(own_aws, promised)
    assert promised.objects and promised.roles and promised.models and promised.lines


def _check(aws: EmbeddedAws, promised: Workload) -> None:
    client = aws.client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="crash")
    listed = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
    assert promised.objects.keys() <= listed.keys()
    assert not promised.deleted & listed.keys()
    for key, size_bytes in listed.items():
        # A replacement in flight may have won; whichever it is, it is whole.
        assert size_bytes in (
            promised.objects.get(key, size_bytes),
            2 * promised.objects.get(key, size_bytes),
        )
        assert client.get_object(Bucket="crash", Key=key)["Body"].read() == _content(key, size_bytes), key
    _check_files(aws)
    roles = _names(aws.client("iam"), "list_roles", "Roles", "RoleName")
    assert set(promised.roles) <= roles
    assert set(promised.models) <= _names(aws.client("sagemaker"), "list_models", "Models", "ModelName")
    pages = aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName="crash")
    assert set(promised.lines) <= {event["message"] for page in pages for event in page["events"]}


def _check_files(aws: EmbeddedAws) -> None:
    """No file lies there that no record names: a killed upload leaves nothing behind."""
    database = Database(aws.state_dir / "localaws.sqlite3")
    rows = database.query("SELECT extents FROM s3_objects UNION ALL SELECT extents FROM s3_parts")
    database.close()
    named = "".join(row[0] for row in rows)
    files = [path.name for path in (aws.state_dir / "objects").rglob("*") if path.is_file()]
    assert [name for name in files if name not in named] == []


def _names(client: Any, call: str, member: str, name: str) -> set[str]:
    pages = client.get_paginator(call).paginate()
    return {item[name] for page in pages for item in page[member]}
