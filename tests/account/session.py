"""The same commands once with target `local` and once with target `aws`, everything asked of AWS recorded.

For `aws` the requests are led to the embedded AWS by what a user has for that, environment variables: an
address and a key pair. What only AWS has is answered by `aws_only`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from loadbench.load_paths import COMPARED_LOAD_PATHS, LOAD_PATHS
from loadbench.run.models import synthetic
from tests.account import aws_only
from tests.account.recorded_calls import Asked, read_record

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("local", "aws")
_TIMEOUT_S = 600
# A little over one part of an upload, so that the model goes to S3 in parts.
_MODEL = synthetic.Shape("llama-parts", 64, 128, 2, 4, 2, 140_000, tied_embeddings=True)


@dataclass
class Session:
    """What was asked and rendered, by target."""

    home: Path
    asked: dict[str, list[Asked]] = field(default_factory=dict)
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)

    def loadbench(self, environment: Mapping[str, str], *arguments: str) -> str:
        """One command in the session's folder."""
        done = subprocess.run(
            [sys.executable, "-c", "from loadbench.cli import main; main()", *arguments],
            cwd=self.home,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def play(home: Path) -> Session:
    """Run everything on both targets. `home` is an empty folder."""
    session, record, extra_record = Session(home), home / "asked.jsonl", home / "asked-of-aws.jsonl"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    plain["LOCALAWS_RECORD"] = str(record)
    write_config(home)
    with ExitStack() as closing:
        closing.callback(session.loadbench, plain, "local", "down")
        reaching = json.loads(_started(session, plain))
        for target in TARGETS:
            _make_bucket(reaching, bucket(target))
        environment = {
            "local": plain,
            "aws": plain | reaching | closing.enter_context(aws_only.served(extra_record)),
        }
        for target in TARGETS:
            start = len(record.read_text().splitlines())
            _commands(session, target, environment[target])
            session.asked[target] = read_record(record, start)
        session.asked["aws"] += read_record(extra_record)
    return session


def bucket(target: str) -> str:
    """A bucket a target, so that each uploads the model and shards it."""
    return f"same-requests-{target}"


def write_config(home: Path) -> None:
    """The committed default with a model made here; what each target takes by default is written out."""
    model = home / "model"
    model.mkdir()
    synthetic.generate(_MODEL, model, lambda progress: None)
    document = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for traits in LOAD_PATHS.values():
        if traits.section in document:
            document[traits.section] |= {"hf_model_id": str(model), "weights_from": "s3"}
    document["benchmark"]["warm_invocations"] = 1
    document["local"]["network"] = "none"
    (home / "config.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


def _started(session: Session, environment: Mapping[str, str]) -> str:
    session.loadbench(environment, "local", "up")
    return session.loadbench(environment, "local", "env", "--json")


def _make_bucket(environment: Mapping[str, str], name: str) -> None:
    import boto3

    boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    ).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": environment["AWS_REGION"]})


def _commands(session: Session, target: str, environment: Mapping[str, str]) -> None:
    options = ["--target", target, "--set", f"fast_model_loading_info.bucket={bucket(target)}"]
    session.loadbench(environment, "doctor", *options)
    for path in COMPARED_LOAD_PATHS:
        session.loadbench(environment, "run", path, "--yes", *options)
        session.loadbench(environment, "invoke", path, *options)
    for file in (session.home / ".loadbench" / "runs").glob("*/*.tfvars.json"):
        path = file.name.partition(".")[0]
        session.variables.setdefault(target, {})[path] = json.loads(file.read_text(encoding="utf-8"))
    session.loadbench(environment, "leftovers", *options)
    session.loadbench(environment, "destroy", "--yes", "--shards", *options)
