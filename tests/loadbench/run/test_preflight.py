"""What would make a run fail is found before anything is created, and says what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from loadbench.config import Config, load_config
from loadbench.errors import UsageError
from loadbench.paths import PathName
from loadbench.results.costs import Price
from loadbench.run import hub, synthetic
from loadbench.run.models import cached_folder
from loadbench.run.preflight import Check, account, checks, container, cost_summary, run_checks, weights
from loadbench.run.preflight.check import Context
from loadbench.run.progress import Progress, ignore_progress

CONFIG_FILE = Path(__file__).resolve().parents[3] / "config.yaml"
BOTH: list[PathName] = ["standard", "fast"]
ROLE = "arn:aws:iam::123456789012:role/loadbench"
CALLER = {
    "Account": "123456789012",
    "UserId": "u",
    "Arn": "arn:aws:sts::123456789012:assumed-role/me/session",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOADBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path


@pytest.fixture
def config() -> Config:
    return changed(load_config(CONFIG_FILE), hf_model_id="synthetic:llama-tiny")


def changed(config: Config, path: PathName | None = None, **update: Any) -> Config:
    """The configuration with other values in one path's section, or in both."""
    sections = {"standard": "standard_deployment_info", "fast": "fast_model_loading_info"}
    return config.model_copy(
        update={
            section: getattr(config, section).model_copy(update=update)
            for name, section in sections.items()
            if path in (None, name)
        }
    )


def on_aws(config: Config, **update: Any) -> Config:
    return config.model_copy(update={"target": "aws", **update})


class Account:
    """A session whose clients are real, and whose services answer as told."""

    def __init__(self) -> None:
        self._session = boto3.Session(
            region_name="us-west-2", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        self._clients: dict[str, tuple[Any, Stubber]] = {}

    def client(self, service: str, config: Any = None) -> Any:
        return self._stubbed(service)[0]

    def answers(self, service: str, operation: str, answer: dict[str, Any]) -> None:
        self._stubbed(service)[1].add_response(operation, answer)

    def refuses(
        self, service: str, operation: str, code: str, status: int = 400, message: str = "no"
    ) -> None:
        self._stubbed(service)[1].add_client_error(operation, code, message, status)

    def _stubbed(self, service: str) -> tuple[Any, Stubber]:
        if service not in self._clients:
            client = self._session.client(service)
            stub = Stubber(client)
            stub.activate()
            self._clients[service] = client, stub
        return self._clients[service]


def context(
    config: Config, session: Any = None, paths: list[PathName] | None = None, token: str | None = None
) -> Context:
    return Context(config, paths or BOTH, session, token)


def only(found: Any) -> Check:
    (check,) = list(found)
    assert isinstance(check, Check)
    return check


def test_the_committed_default_has_no_failure_on_the_embedded_target(aws_session: Any) -> None:
    told: list[Progress] = []
    found = run_checks(load_config(CONFIG_FILE), BOTH, aws_session, told.append)
    assert {check.status for check in found} == {"ok"}
    assert {"credentials", "terraform", "image", "accelerators", "model", "memory", "bucket"} <= {
        check.name for check in found
    }
    assert told


def test_a_check_that_hangs_does_not_hold_up_the_others(
    config: Config, aws_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(_: Context) -> Iterator[Check]:
        time.sleep(2)
        yield Check("slow", "ok", "too late")

    monkeypatch.setattr(checks, "_DEADLINE_S", 0.3)
    monkeypatch.setattr(
        checks, "_ENTRIES", (checks._Entry("slow", hang), checks._Entry("image", container.image))
    )
    started_s = time.monotonic()
    found = run_checks(config, ["fast"], aws_session)
    assert time.monotonic() - started_s < 1.5
    assert [(check.name, check.status) for check in found] == [("slow", "warning"), ("image", "ok")]


def test_a_check_that_hangs_does_not_keep_the_process_from_ending() -> None:
    script = """
import threading
from loadbench.config import load_config
from loadbench.run.preflight import checks

checks._DEADLINE_S = 0.2
checks._ENTRIES = (checks._Entry("hangs", lambda context: iter([threading.Event().wait()])),)
print(checks.run_checks(load_config(%r), ["fast"], None)[0].message)
"""
    done = subprocess.run(
        [sys.executable, "-c", script.replace("%r", f"__import__('pathlib').Path({str(CONFIG_FILE)!r})")],
        capture_output=True,
        text=True,
        timeout=60,  # without the deadline it would wait for ever
        check=True,
    )
    assert done.stdout.startswith("no answer within")


def test_an_error_in_a_check_is_not_swallowed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Context) -> Iterator[Check]:
        raise KeyError("a mistake of ours")
        yield

    monkeypatch.setattr(checks, "_ENTRIES", (checks._Entry("broken", broken),))
    with pytest.raises(KeyError, match="a mistake of ours"):
        run_checks(config, BOTH, None)


def test_on_aws_an_address_in_the_environment_is_told(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(target: Config) -> Check:
        session = Account()
        session.answers("sts", "get_caller_identity", CALLER)
        return only(account.credentials(context(target, session)))

    assert found(on_aws(config)).status == "ok"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:20000")
    assert found(config).status == "ok"
    check = found(on_aws(config))
    assert check.status == "warning"
    assert "http://127.0.0.1:20000" in check.message
    assert "unset AWS_ENDPOINT_URL" in check.remedy


def test_what_cannot_be_asked_is_a_warning_and_no_crash(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Account()
    session.refuses("sts", "get_caller_identity", "ExpiredToken", message="the token is expired")
    monkeypatch.setattr(checks, "_ENTRIES", (checks._Entry("credentials", account.credentials),))
    found = only(run_checks(config, BOTH, session))
    assert found.status == "warning"
    assert "the token is expired" in found.message


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ("0.31.0-lmi13.0.0-cu124", "ok"),
        ("0.32.0-lmi14.0.0-cu126", "ok"),
        ("0.33.0-lmi15.0.0-cu128", "failure"),
        ("0.30.0-lmi12.0.0-cu124", "failure"),
        ("latest", "failure"),
    ],
)
def test_the_fast_path_needs_an_image_with_the_fast_loader(config: Config, tag: str, status: str) -> None:
    uri = f"763104351884.dkr.ecr.{{region}}.amazonaws.com/djl-inference:{tag}"
    fast = only(container.image(context(changed(config, image_uri=uri), paths=["fast"])))
    assert fast.status == status
    assert only(container.image(context(changed(config, image_uri=uri), paths=["standard"]))).status == "ok"


@pytest.mark.parametrize(
    ("uri", "status", "words"),
    [
        (
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.32.0-lmi14.0.0",
            "failure",
            "lies in us-east-1",
        ),
        ("763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference", "failure", "names no tag"),
        ("123456789012.dkr.ecr.us-west-2.amazonaws.com/our-own:7", "warning", "is not known here"),
    ],
)
def test_an_image_that_cannot_be_right_is_told(config: Config, uri: str, status: str, words: str) -> None:
    check = only(container.image(context(changed(config, image_uri=uri), paths=["fast"])))
    assert check.status == status
    assert words in check.message


@pytest.mark.parametrize(
    ("instance", "degree", "status"),
    [
        ("ml.g5.2xlarge", "max", "ok"),
        ("ml.g5.2xlarge", "2", "failure"),
        ("ml.g5.12xlarge", "4", "ok"),
        ("ml.g5.12xlarge", "8", "failure"),
        ("ml.c5.xlarge", "1", "failure"),
        ("ml.g5.2xlarge", "lots", "failure"),
    ],
)
def test_the_degree_fits_the_accelerators(config: Config, instance: str, degree: str, status: str) -> None:
    wanted = changed(
        config, instance_type=instance, container_env_vars={"OPTION_TENSOR_PARALLEL_DEGREE": degree}
    )
    assert only(container.accelerators(context(wanted, paths=["fast"]))).status == status


@pytest.mark.parametrize(
    ("model", "instance", "dtype", "status"),
    [
        ("synthetic:llama-8b", "ml.g5.2xlarge", "bf16", "ok"),
        ("synthetic:llama-8b", "ml.g5.2xlarge", "fp32", "failure"),
        ("synthetic:llama-8b", "ml.g5.12xlarge", "fp32", "ok"),
        ("synthetic:llama-tiny", "ml.g5.2xlarge", "bf16", "ok"),
    ],
)
def test_the_weights_fit_the_accelerators_at_their_dtype(
    config: Config, model: str, instance: str, dtype: str, status: str
) -> None:
    wanted = changed(
        config, hf_model_id=model, instance_type=instance, container_env_vars={"OPTION_DTYPE": dtype}
    )
    assert only(weights.memory(context(wanted, paths=["fast"]))).status == status


def test_heads_that_the_degree_does_not_divide_are_told(config: Config) -> None:
    # llama-tiny has four heads.
    wanted = changed(
        config, instance_type="ml.g5.48xlarge", container_env_vars={"OPTION_TENSOR_PARALLEL_DEGREE": "8"}
    )
    check = only(weights.memory(context(wanted, paths=["fast"])))
    assert check.status == "failure"
    assert "4 attention heads" in check.message


def test_the_size_of_a_model_in_the_cache_is_read_from_its_files(config: Config, cache: Path) -> None:
    wanted = changed(config, hf_model_id="org/model")
    assert only(weights.memory(context(wanted, paths=["fast"]))).status == "warning"
    folder = cached_folder("org/model", cache)
    folder.mkdir(parents=True)
    synthetic.generate(synthetic.SHAPES["llama-tiny"], folder, ignore_progress)
    assert only(weights.memory(context(wanted, paths=["fast"]))).status == "ok"


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("synthetic:llama-tiny", "ok"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "ok"),
        ("synthetic:llama-900b", "failure"),
        ("org/not-here", "failure"),
    ],
)
def test_a_model_that_cannot_be_had_is_told(config: Config, model: str, status: str) -> None:
    assert only(weights.source(context(changed(config, hf_model_id=model)))).status == status


@pytest.mark.parametrize(("weights_from", "status"), [("hub", "failure"), ("s3", "warning")])
def test_a_token_that_is_asked_for_and_missing_is_told(
    config: Config, weights_from: str, status: str
) -> None:
    wanted = changed(config, use_hf_token=True, weights_from=weights_from)
    check = only(weights.token(context(wanted, paths=["fast"])))
    assert check.status == status
    assert "HUGGING_FACE_HUB_TOKEN" in check.message
    assert ".env" in check.remedy


def test_no_token_is_looked_for_when_none_is_wanted(config: Config) -> None:
    assert list(weights.token(context(config))) == []


@pytest.mark.parametrize(
    ("with_token", "hub_says", "status", "words"),
    [
        (True, None, "ok", "the token may read org/model"),
        (False, None, "ok", "everybody may read org/model"),
        (True, "is gated", "failure", "is gated"),
        (False, "is gated", "failure", "is gated"),
        (True, "unreachable", "warning", "does not answer"),
    ],
)
def test_a_model_on_the_hub_is_tried_with_what_the_container_will_have(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    with_token: bool,
    hub_says: str | None,
    status: str,
    words: str,
) -> None:
    tried: list[str | None] = []

    def check_access(model_id: str, token: str | None) -> None:
        tried.append(token)
        if hub_says:
            raise UsageError(f"{model_id} {hub_says}")

    monkeypatch.setattr(hub, "check_access", check_access)
    monkeypatch.setattr(hub, "is_reachable", lambda: hub_says != "unreachable")
    wanted = changed(config, hf_model_id="org/model", use_hf_token=with_token, weights_from="hub")
    check = only(weights.token(context(wanted, paths=["fast"], token="hf_mine")))
    assert check.status == status
    assert words in check.message
    assert tried == ([] if hub_says == "unreachable" else ["hf_mine" if with_token else None])


def test_the_hub_is_asked_once_whether_it_answers(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(hub, "is_reachable", lambda: asked.append(True))
    wanted = context(
        changed(config, hf_model_id="org/model", use_hf_token=True, weights_from="hub"), token="t"
    )
    for check in (weights.memory, weights.token):
        list(check(wanted))
    assert asked == [True]


def test_on_aws_a_bucket_is_needed_where_something_goes_to_s3(config: Config) -> None:
    assert only(weights.bucket(context(on_aws(config), paths=["fast"]))).status == "failure"
    assert list(weights.bucket(context(on_aws(config), paths=["standard"]))) == []


@pytest.mark.parametrize(
    ("status", "words"), [(404, "does not exist"), (403, "may not be used"), (301, "another region")]
)
def test_a_bucket_that_cannot_be_used_is_told(config: Config, status: int, words: str) -> None:
    session = Account()
    session.refuses("s3", "head_bucket", str(status), status)
    check = only(weights.bucket(context(on_aws(changed(config, bucket="the-bucket")), session, ["fast"])))
    assert check.status == "failure"
    assert words in check.message


def test_a_bucket_that_takes_no_objects_is_told(config: Config) -> None:
    session = Account()
    session.answers(
        "s3", "head_bucket", {"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": "us-west-2"}}}
    )
    session.refuses("s3", "put_object", "AccessDenied", 403)
    check = only(weights.bucket(context(on_aws(changed(config, bucket="the-bucket")), session, ["fast"])))
    assert (check.status, "does not take objects" in check.message) == ("failure", True)


def test_a_bucket_of_ones_own_is_written_to_and_left_as_it_was(config: Config, aws_session: Any) -> None:
    s3 = aws_session.client("s3")
    s3.create_bucket(Bucket="preflight-bucket", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    check = only(weights.bucket(context(changed(config, bucket="preflight-bucket"), aws_session, ["fast"])))
    assert check.status == "ok"
    assert "Contents" not in s3.list_objects_v2(Bucket="preflight-bucket")


def endpoint(name: str, status: str = "InService") -> dict[str, Any]:
    return {
        "EndpointName": name,
        "EndpointArn": f"arn:aws:sagemaker:us-west-2:123456789012:endpoint/{name}",
        "CreationTime": 0,
        "LastModifiedTime": 0,
        "EndpointStatus": status,
    }


def job(name: str, status: str = "INPROGRESS") -> dict[str, Any]:
    return {
        "OptimizationJobName": name,
        "OptimizationJobArn": f"arn:aws:sagemaker:us-west-2:123456789012:optimization-job/{name}",
        "CreationTime": 0,
        "OptimizationJobStatus": status,
        "DeploymentInstanceType": "ml.g5.2xlarge",
        "OptimizationTypes": ["Sharding"],
    }


def test_endpoints_of_this_project_and_path_that_are_up_are_told(config: Config) -> None:
    session = Account()
    listed = [
        endpoint("loadbench-20261123-061530-fast-4f2a", "Failed"),
        endpoint("loadbench-20261123-061530-standard-1111"),
        endpoint("loadbench-20261123-061530-fast-dead", "Deleting"),
        endpoint("somebody-loadbench-1-fast-2222"),
    ]
    session.answers("sagemaker", "list_endpoints", {"Endpoints": listed})
    jobs = [
        job("loadbench-20261123-061530-fast-3333"),
        job("loadbench-20261123-061530-fast-4444", "COMPLETED"),
    ]
    session.answers("sagemaker", "list_optimization_jobs", {"OptimizationJobSummaries": jobs})
    check = only(account.standing(context(config, session, ["fast"])))
    assert check.status == "warning"
    assert "loadbench-20261123-061530-fast-4f2a (Failed)" in check.message
    assert "loadbench-20261123-061530-fast-3333 (INPROGRESS)" in check.message
    assert not any(word in check.message for word in ("1111", "dead", "2222", "4444"))


@pytest.mark.parametrize(("offered", "status"), [(True, "ok"), (False, "failure")])
def test_a_region_without_the_instance_type_is_told(config: Config, offered: bool, status: str) -> None:
    session = Account()
    found = [{"InstanceType": "g5.2xlarge"}] if offered else []
    session.answers("ec2", "describe_instance_type_offerings", {"InstanceTypeOfferings": found})
    assert only(account.offering(context(on_aws(config), session))).status == status


def quota_named(name: str, value: float) -> dict[str, Any]:
    return {"QuotaName": f"{name} for endpoint usage", "Value": value}


@pytest.mark.parametrize(("value", "status"), [(2.0, "ok"), (1.0, "failure"), (0.0, "failure")])
def test_a_quota_that_does_not_allow_the_endpoint_is_told(config: Config, value: float, status: str) -> None:
    session = Account()
    session.answers("service-quotas", "get_service_quota", {"Quota": quota_named("ml.g5.2xlarge", value)})
    wanted = changed(on_aws(config), instance_count=2)
    check = only(account.quota(context(wanted, session)))
    assert check.status == status
    assert f"{value:.0f}, wanted 2" in check.message


@pytest.mark.parametrize(
    "by_code",
    [
        lambda a: a.answers("service-quotas", "get_service_quota", {"Quota": quota_named("ml.g5.large", 9)}),
        lambda a: a.refuses("service-quotas", "get_service_quota", "NoSuchResourceException"),
    ],
)
@pytest.mark.parametrize(("listed", "status"), [([("ml.g5.2xlarge", 1.0)], "ok"), ([], "warning")])
def test_a_quota_whose_code_is_not_right_is_looked_up_by_name(
    config: Config,
    by_code: Callable[[Account], object],
    listed: list[tuple[str, float]],
    status: str,
) -> None:
    session = Account()
    by_code(session)
    quotas = [quota_named(name, value) for name, value in listed]
    session.answers("service-quotas", "list_service_quotas", {"Quotas": quotas})
    assert only(account.quota(context(on_aws(config), session))).status == status


def role_document(principal: str) -> dict[str, Any]:
    policy = f'{{"Statement": [{{"Principal": {{"Service": "{principal}"}}}}]}}'
    return {
        "Role": {
            "Path": "/",
            "RoleName": "loadbench",
            "RoleId": "AROA1234567890123456",
            "Arn": ROLE,
            "CreateDate": 0,
            "AssumeRolePolicyDocument": policy,
        }
    }


def decision(word: str) -> dict[str, Any]:
    return {"EvaluationResults": [{"EvalActionName": "iam:PassRole", "EvalDecision": word}]}


@pytest.mark.parametrize(
    ("prepare", "status", "words"),
    [
        (lambda a: a.refuses("iam", "get_role", "NoSuchEntity"), "failure", "does not exist"),
        (lambda a: a.refuses("iam", "get_role", "AccessDenied"), "warning", "may not look"),
        (
            lambda a: a.answers("iam", "get_role", role_document("ec2.amazonaws.com")),
            "failure",
            "does not trust sagemaker",
        ),
        (
            lambda a: (
                a.answers("iam", "get_role", role_document("sagemaker.amazonaws.com")),
                a.answers("iam", "simulate_principal_policy", decision("implicitDeny")),
            ),
            "failure",
            "may not pass",
        ),
        (
            lambda a: (
                a.answers("iam", "get_role", role_document("sagemaker.amazonaws.com")),
                *(a.answers("iam", "simulate_principal_policy", decision("allowed")) for _ in range(4)),
            ),
            "ok",
            "may be passed and read the bucket",
        ),
        (
            lambda a: (
                a.answers("iam", "get_role", role_document("sagemaker.amazonaws.com")),
                *(
                    a.answers("iam", "simulate_principal_policy", decision(word))
                    for word in ("allowed", "allowed", "implicitDeny", "allowed")
                ),
            ),
            "warning",
            "do not allow s3:GetObject on arn:aws:s3:::the-bucket/models/x",
        ),
        (
            lambda a: (
                a.answers("iam", "get_role", role_document("sagemaker.amazonaws.com")),
                a.refuses("iam", "simulate_principal_policy", "InvalidInput"),
            ),
            "ok",
            "is not known",
        ),
    ],
)
def test_a_role_that_will_not_do_is_told(
    config: Config, prepare: Callable[[Account], object], status: str, words: str
) -> None:
    session = Account()
    session.answers("sts", "get_caller_identity", CALLER)
    prepare(session)
    wanted = changed(config, sagemaker_exec_role=ROLE, bucket="the-bucket")
    check = only(account.role(context(on_aws(wanted), session)))
    assert check.status == status
    assert words in check.message


def test_the_policy_simulation_asks_about_the_role_behind_a_session() -> None:
    assert account._principal(CALLER["Arn"]) == "arn:aws:iam::123456789012:role/me"
    assert account._principal("arn:aws:iam::1:user/u") == "arn:aws:iam::1:user/u"


@pytest.mark.parametrize(
    ("prepare", "status"),
    [
        (lambda a: a.answers("ecr", "batch_get_image", {"images": [{"imageId": {"imageTag": "t"}}]}), "ok"),
        (lambda a: a.answers("ecr", "batch_get_image", {"images": []}), "failure"),
        (lambda a: a.refuses("ecr", "batch_get_image", "RepositoryNotFoundException"), "failure"),
        (lambda a: a.refuses("ecr", "batch_get_image", "AccessDeniedException"), "warning"),
    ],
)
def test_a_tag_that_the_registry_does_not_have_is_told(
    config: Config, prepare: Callable[[Account], object], status: str
) -> None:
    session = Account()
    prepare(session)
    assert only(container.image_exists(context(on_aws(config), session))).status == status


def test_the_question_before_money_names_what_will_be_created(config: Config) -> None:
    summary = cost_summary(changed(on_aws(config), "standard", instance_count=2), BOTH)
    assert "standard: a model-based endpoint on 2 × ml.g5.2xlarge, 3.03 USD per hour" in summary
    assert "fast: an optimization job on ml.g5.2xlarge, 1.51 USD per hour" in summary
    assert "fast: an endpoint with an inference component on 1 × ml.g5.2xlarge" in summary
    assert "times" not in summary


def test_the_cost_of_a_like_for_like_series_is_that_of_its_endpoints(config: Config) -> None:
    benchmark = config.benchmark.model_copy(update={"like_for_like": True, "pairs": 5})
    summary = cost_summary(on_aws(config, benchmark=benchmark), BOTH)
    assert "standard: an endpoint with an inference component" in summary
    assert "each endpoint 5 times" in summary
    assert "models and shards in S3" in summary


def test_what_aws_tells_goes_before_the_table_and_says_where_it_is_from(config: Config) -> None:
    asked: list[str] = []

    def look_up(instance_type: str) -> Price:
        asked.append(instance_type)
        return Price(usd_per_hour=1.9, source="AWS price list", date="2026-11-01", region="us-west-2")

    summary = cost_summary(on_aws(config), BOTH, look_up)
    assert asked == ["ml.g5.2xlarge"]
    assert "1.90 USD per hour" in summary
    assert "Prices: AWS price list, 2026-11-01, region us-west-2." in summary


def test_a_price_that_is_not_known_is_said_to_be_so(config: Config) -> None:
    assert "price not known" in cost_summary(changed(config, instance_type="ml.zz9.large"), ["standard"])
