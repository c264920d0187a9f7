"""The sharding job runs once per content, through the real SDK, and fails with the service's reason."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from loadbench.config import Config, load_config
from loadbench.errors import ConfigError, RunError
from loadbench.progress import Progress
from loadbench.results.run_record import Optimization
from loadbench.run.models import hub
from loadbench.run.models.resolve import LocalModel, resolve_model
from loadbench.run.models.staging import ensure_bucket, stage_model
from loadbench.run.models.upload import list_sizes
from loadbench.run.optimization import job as job_module
from loadbench.run.optimization.job import content_key, optimize, tensor_parallel_degree
from loadbench.run.optimization.job_role import policy_document, provide

CONFIG_FILE = Path(__file__).resolve().parents[4] / "config.yaml"
ACCOUNT_ID = "123456789012"
TAGS = {"loadbench:project": "loadbench", "loadbench:run-id": "20261123-061530-fast-4f2a"}
_numbers = itertools.count()


@pytest.fixture
def config() -> Config:
    return load_config(CONFIG_FILE)


def with_fast(config: Config, **update: Any) -> Config:
    section = config.fast_model_loading_info.model_copy(update=update)
    return config.model_copy(update={"fast_model_loading_info": section})


def with_environment(config: Config, **update: str) -> Config:
    environment = {**config.fast_model_loading_info.container_env_vars, **update}
    return with_fast(config, container_env_vars=environment)


class Job:
    """One model staged in a bucket of its own, and jobs on it."""

    def __init__(self, session: Any, config: Config, model: LocalModel) -> None:
        self.session, self.model = session, model
        own = with_fast(config, bucket=f"optimization-test-{next(_numbers)}")
        self.bucket = ensure_bucket(session, own, ACCOUNT_ID)
        self.uri = stage_model(session, model, self.bucket)
        self.reported: list[Progress] = []

    def run(self, config: Config, uri: str | None = None) -> Optimization:
        return optimize(
            self.session,
            config,
            model=self.model,
            source_uri=uri or self.uri,
            bucket=self.bucket,
            job_name=f"loadbench-test-{next(_numbers)}",
            tags=TAGS,
            account_id=ACCOUNT_ID,
            on_progress=self.reported.append,
        )


@pytest.fixture
def job(aws_session: Any, config: Config, tmp_path: Path) -> Job:
    return Job(aws_session, config, resolve_model("synthetic:llama-tiny", tmp_path / "cache", None))


def roles(session: Any) -> list[str]:
    return [role["RoleName"] for role in session.client("iam").list_roles()["Roles"]]


def test_a_job_leaves_shards_and_a_second_one_with_the_same_content_is_not_started(
    job: Job, config: Config
) -> None:
    made = job.run(config)
    assert not made.reused
    assert made.output_uri.startswith(f"s3://{job.bucket}/optimized/{made.key}/")
    assert made.seconds is not None
    assert made.started_s is not None
    assert made.ended_s is not None
    assert made.seconds == pytest.approx(made.ended_s - made.started_s)
    sizes = list_sizes(
        job.session.client("s3"), job.bucket, made.output_uri.removeprefix(f"s3://{job.bucket}/")
    )
    shards = {key: size for key, size in sizes.items() if "/sagemaker-fast-model-loader-" in key}
    assert made.shards_bytes == sum(shards.values())
    assert made.shards_bytes >= job.model.parameters * 2
    assert any(key.endswith("/config.json") for key in sizes)
    assert job.reported

    again = job.run(config)
    assert again == made.model_copy(update={"reused": True})
    described = job.session.client("sagemaker").describe_optimization_job(OptimizationJobName=made.job_name)
    environment = described["OptimizationConfigs"][0]["ModelShardingConfig"]["OverrideEnvironment"]
    assert environment["OPTION_TENSOR_PARALLEL_DEGREE"] == "1"
    assert "HF_MODEL_ID" not in environment


def test_the_role_made_for_a_job_is_gone_after_it(job: Job, config: Config) -> None:
    job.run(config)
    assert not [name for name in roles(job.session) if name.endswith("-opt")]


def test_shards_that_were_removed_are_made_again(job: Job, config: Config) -> None:
    made = job.run(config)
    client = job.session.client("s3")
    prefix = made.output_uri.removeprefix(f"s3://{job.bucket}/")
    gone = next(
        key for key in list_sizes(client, job.bucket, prefix) if "/sagemaker-fast-model-loader-" in key
    )
    client.delete_object(Bucket=job.bucket, Key=gone)
    again = job.run(config)
    assert not again.reused
    assert again.key == made.key


def test_a_failed_job_is_reported_with_the_services_reason_and_not_reused(job: Job, config: Config) -> None:
    later = with_fast(
        config, image_uri="763104351884.dkr.ecr.{region}.amazonaws.com/djl-inference:0.33.0-lmi15.0.0"
    )
    for _ in range(2):
        with pytest.raises(RunError, match="is FAILED") as failure:
            job.run(later)
        assert "lmi13" in failure.value.remedy
    assert not [name for name in roles(job.session) if name.endswith("-opt")]


def test_a_hub_model_is_staged_without_weights_and_named_to_the_job(
    aws_session: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(model_id: str, commit: str, folder: Path, token: str | None) -> None:
        (folder / "config.json").write_text(f'{{"commit": "{commit}"}}')

    monkeypatch.setattr(hub, "revision", lambda model_id, token: "c0ffee")
    monkeypatch.setattr(hub, "download_metadata", download)
    wanted = with_fast(config, hf_model_id="org/model", use_hf_token=True)
    bucket = ensure_bucket(aws_session, with_fast(config, bucket=f"hub-test-{next(_numbers)}"), ACCOUNT_ID)
    job_name = f"loadbench-hub-test-{next(_numbers)}"
    # The embedded AWS has no hub: the job finds no weights. What it was asked to do is what counts here.
    with pytest.raises(RunError, match="is FAILED"):
        optimize(
            aws_session,
            wanted,
            model=None,
            source_uri=None,
            bucket=bucket,
            job_name=job_name,
            tags=TAGS,
            account_id=ACCOUNT_ID,
            token="hf_token",
        )
    asked = aws_session.client("sagemaker").describe_optimization_job(OptimizationJobName=job_name)
    environment = asked["OptimizationConfigs"][0]["ModelShardingConfig"]["OverrideEnvironment"]
    assert environment["HF_MODEL_ID"] == "org/model"
    assert environment["HUGGING_FACE_HUB_TOKEN"] == "hf_token"
    source = asked["ModelSource"]["S3"]["S3Uri"]
    keys = list_sizes(aws_session.client("s3"), bucket, source.removeprefix(f"s3://{bucket}/"))
    assert [key.rpartition("/")[2] for key in keys] == ["config.json"]


def test_a_refused_request_does_not_quote_the_token(
    aws_session: Any, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(session: Any, region: str, request: dict[str, Any], follow: object) -> None:
        # As the service does: the value that it refuses stands in its message.
        configs = request["optimization_configs"]
        raise RunError(f"Value '{configs}' failed to satisfy constraint", details=str(configs))

    monkeypatch.setattr(job_module, "_run_job", refuse)
    monkeypatch.setattr(hub, "revision", lambda model_id, token: "c0ffee")
    monkeypatch.setattr(hub, "download_metadata", lambda *_: None)
    bucket = ensure_bucket(aws_session, with_fast(config, bucket=f"hub-test-{next(_numbers)}"), ACCOUNT_ID)
    with pytest.raises(RunError) as failure:
        optimize(
            aws_session,
            with_fast(config, hf_model_id="org/model", use_hf_token=True),
            model=None,
            source_uri=None,
            bucket=bucket,
            job_name=f"loadbench-hub-test-{next(_numbers)}",
            tags=TAGS,
            account_id=ACCOUNT_ID,
            token="hf_secret",
        )
    assert "failed to satisfy constraint" in failure.value.message
    assert "hf_secret" not in f"{failure.value.message}{failure.value.remedy}{failure.value.details}"


def test_a_degree_that_is_no_number_is_refused_before_anything_starts(job: Job, config: Config) -> None:
    with pytest.raises(ConfigError, match="'many'"):
        job.run(with_environment(config, OPTION_TENSOR_PARALLEL_DEGREE="many"))
    assert roles(job.session) == []


@pytest.mark.parametrize(
    ("written", "instance", "degree"),
    [
        ("max", "ml.g5.2xlarge", 1),
        ("max", "ml.g5.12xlarge", 4),
        ("MAX", "ml.g5.48xlarge", 8),
        ("2", "ml.g5.48xlarge", 2),
    ],
)
def test_max_is_the_number_of_accelerators(config: Config, written: str, instance: str, degree: int) -> None:
    changed = with_environment(
        with_fast(config, instance_type=instance), OPTION_TENSOR_PARALLEL_DEGREE=written
    )
    assert tensor_parallel_degree(changed.fast_model_loading_info) == degree


@pytest.mark.parametrize(("written", "degree"), [({}, 1), ({"SM_VLLM_TENSOR_PARALLEL_SIZE": "2"}, 2)])
def test_vllms_own_server_uses_one_accelerator_unless_configured(
    config: Config, written: dict[str, str], degree: int
) -> None:
    info = config.fast_model_loading_info.model_copy(
        update={"instance_type": "ml.g5.12xlarge", "container_env_vars": {"SM_VLLM_DTYPE": "auto", **written}}
    )
    assert tensor_parallel_degree(info) == degree


@pytest.mark.parametrize("written", ["0", "-1", "1.5", "", "²", "auto"])
def test_what_is_no_degree_is_refused(config: Config, written: str) -> None:
    changed = with_environment(config, OPTION_TENSOR_PARALLEL_DEGREE=written)
    with pytest.raises(ConfigError):
        tensor_parallel_degree(changed.fast_model_loading_info)


def test_the_key_is_another_for_everything_that_shards_depend_on() -> None:
    keys = {
        content_key(digest, degree, dtype, image)
        for digest in ("d1", "d2")
        for degree in (1, 2)
        for dtype in ("bf16", "fp16")
        for image in ("i1", "i2")
    }
    assert len(keys) == 16


def test_a_configured_role_is_used_and_kept(aws_session: Any) -> None:
    arn = f"arn:aws:iam::{ACCOUNT_ID}:role/mine"
    with provide(aws_session, arn, "bucket", ACCOUNT_ID, "job", TAGS) as role:
        assert role == arn


def test_a_role_is_removed_even_when_the_job_is_interrupted(aws_session: Any) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        provide(aws_session, None, "bucket", ACCOUNT_ID, "interrupted-job", TAGS) as arn,
    ):
        tags = aws_session.client("iam").list_role_tags(RoleName=arn.rsplit("/", 1)[-1])["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == TAGS
        raise KeyboardInterrupt
    assert roles(aws_session) == []


def test_the_policy_names_buckets_and_leaves_a_star_only_where_aws_has_nothing_narrower() -> None:
    document = policy_document("the-bucket", ACCOUNT_ID, "us-west-2")
    stars = [item["Action"] for item in document["Statement"] if item["Resource"] == "*"]
    assert stars == ["ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"]
    assert '"*"' not in json.dumps([item["Action"] for item in document["Statement"]])
