"""What a first run on AWS depends on, each row of docs/facts/aws-evidence.md from both sides.

Nobody knows yet which side is true. Each class is one row, in the order of the page: what the code does if
the assumption is right, and what it does if it is wrong.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from loadbench.config import Config, load_config
from loadbench.errors import RunError, ServiceError
from loadbench.load_paths import EndpointKind
from loadbench.predict.coefficients import published_values
from loadbench.results.findings import findings
from loadbench.results.run_record import Invocation, ResourceNames, Usage
from loadbench.run.capacity import Copies, Instances, Watch, counts_of
from loadbench.run.data_cache import Caches, described_caches, requested_caching
from loadbench.run.deployment_plan import rendered_variables
from loadbench.run.explain_failure import explained
from loadbench.run.live_check.evidence import Seen, data_cache_off, platform_names_the_artifact
from loadbench.run.new_role import SETTLES_WITHIN_S, repeat_for_new_role
from loadbench.run.observe.lines import parse_lines
from loadbench.run.observe.spans import read_container
from loadbench.run.observe.streaming_evidence import judge_streaming
from loadbench.run.observe.warm_layers import find_layers
from loadbench.run.optimization import job as job_module
from loadbench.run.optimization import job_role
from loadbench.run.optimization.job_log import JobLog, read_job_log
from loadbench.run.preflight import container
from loadbench.run.removal.remove_resources import find_resources, remove
from loadbench.run.requests.answer_check import check_answers, expected_words
from tests.loadbench.results.builders import make_record
from tests.loadbench.run.fake_account import FakeAccount, client_error
from tests.loadbench.run.preflight import stubs
from tests.loadbench.test_examples import context

ROOT = Path(__file__).resolve().parents[3]
RUN = "20261123-061530-fast-4f2a"
NAME = f"loadbench-{RUN}"
ROLE = "arn:aws:iam::123456789012:role/r"
NO_ROOM = "Failed to create the copy: there are not enough hardware resources on the instances"
UNSUPPORTED = (
    "An error occurred (UnsupportedActionException) when calling the CreateResource operation:"
    " Resource type AWS::SageMaker::EndpointConfig does not support CREATE action"
)


@pytest.fixture
def config() -> Config:
    return load_config(ROOT / "config.aws.yaml", ["fast_model_loading_info.bucket=mine"])


def variables(path: str, home: Path, *overrides: str) -> Any:
    config = load_config(ROOT / "config.aws.yaml", ["fast_model_loading_info.bucket=mine", *overrides])
    return json.loads(rendered_variables(context(config, home), path))


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class TestComponentMemory:
    def test_right_more_than_the_least_is_reserved_where_it_is_configured(self, tmp_path: Path) -> None:
        half = variables("fast", tmp_path, "fast_model_loading_info.min_memory_mib=16384")
        assert half["endpoint"]["min_memory_mib"] == 16384

    def test_wrong_little_is_reserved_and_a_refusal_names_the_figure_that_fits(self, tmp_path: Path) -> None:
        assert variables("fast", tmp_path)["endpoint"]["min_memory_mib"] == 1024
        remedy = explained(ServiceError(NO_ROOM)).remedy
        assert "min_memory_mib" in remedy
        assert "1024" in remedy


class TestEndpointConfigByCloudControl:
    def test_right_one_without_a_model_is_created(self, aws_session: Any) -> None:
        variant = {"VariantName": "AllTraffic", "InstanceType": "ml.g5.2xlarge", "InitialInstanceCount": 1}
        sagemaker = aws_session.client("sagemaker")
        with job_role.provide(aws_session, None, "bucket", "123456789012", "evidence", {}) as role:
            state = {
                "EndpointConfigName": "evidence",
                "ExecutionRoleArn": role,
                "ProductionVariants": [variant],
            }
            aws_session.client("cloudcontrol").create_resource(
                TypeName="AWS::SageMaker::EndpointConfig", DesiredState=json.dumps(state)
            )
            made = sagemaker.describe_endpoint_config(EndpointConfigName="evidence")
            sagemaker.delete_endpoint_config(EndpointConfigName="evidence")
        assert "ModelName" not in made["ProductionVariants"][0]

    def test_wrong_the_refusal_names_the_second_way(self) -> None:
        """Which is taken with a provider from 6.21 on: tests/terraform/test_variants.py."""
        assert "6.21" in explained(ServiceError(UNSUPPORTED)).remedy


class TestStreamerSettingsAsJson:
    OPTION = "SM_VLLM_MODEL_LOADER_EXTRA_CONFIG: '{\"concurrency\": 16}'"

    def with_json(self, version: str) -> list[Any]:
        image = f"763104351884.dkr.ecr.us-west-2.amazonaws.com/vllm:server-sagemaker-cuda-{version}"
        settings = [
            f"streamer_info.image_uri={image}",
            f"streamer_info.container_env_vars={{{self.OPTION}}}",
        ]
        config = load_config(ROOT / "config.aws.yaml", settings)
        return list(container.quoted_options(stubs.context(config, paths=["streamer"])))

    def test_right_an_image_that_keeps_quotes_gets_them_without_a_warning(self, tmp_path: Path) -> None:
        assert self.with_json("v1.5") == []
        environment = f"streamer_info.container_env_vars={{{self.OPTION}}}"
        given = variables("streamer", tmp_path, environment)["model"]["environment"]
        assert json.loads(given["SM_VLLM_MODEL_LOADER_EXTRA_CONFIG"]) == {"concurrency": 16}

    def test_wrong_the_shipped_settings_need_none_and_others_are_warned_about(self, tmp_path: Path) -> None:
        given = variables("streamer", tmp_path)["model"]["environment"]
        assert given["RUNAI_STREAMER_CONCURRENCY"] == "16"
        assert not [value for value in given.values() if '"' in value]
        assert [check.status for check in self.with_json("v1.4")] == ["warning"]


class TestFirstFastFigure:
    def test_either_way_no_prediction_rests_on_it(self) -> None:
        """It becomes a figure by a run that is recorded, and by nothing else."""
        sources = {name: known.source for name, known in published_values()["aws"].items()}
        assert sources
        assert not {name for name, source in sources.items() if re.search(r"\b450 s\b", source)}

    def test_wrong_the_figure_is_never_quoted_without_what_it_cannot_prove(self) -> None:
        pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        quoting = [
            section
            for page in pages
            for section in re.split(r"^#+ |\n\n\*\*", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
            if re.search(r"\b450 s\b", section)
        ]
        assert quoting
        assert all("nothing about" in section for section in quoting)


class TestPlatformNamesTheArtifact:
    """What proves streaming: tests/loadbench/run/observe/test_streaming_evidence.py."""

    FAST_LOG = Path(__file__).parent / "observe" / "fixtures" / "lmi-v14-fast.log"

    def judged(self, written_bytes: float) -> tuple[str, str]:
        """The certainty of the stream, and the answer of the live check."""
        run = make_record("fast")
        spans = read_container(parse_lines(self.FAST_LOG.read_text(encoding="utf-8").splitlines()))
        usage = Usage(disk_write_bytes=written_bytes)
        spans, run.streaming = judge_streaming(
            spans, usage, instance_type=run.instance_type, weights_bytes=run.model.size_bytes
        )
        seen = Seen(None, Path(), runs={"fast": run})
        seen.serving_properties = ("s3://mine/serving.properties", "option.load_format=fast")
        verdict = platform_names_the_artifact(seen)
        assert verdict is not None
        (certainty,) = {span.certainty for span in spans if span.name == "weights_stream"}
        return certainty, verdict.answer

    def test_right_weights_that_never_lay_on_the_disk_were_streamed(self) -> None:
        assert self.judged(0.1e9) == ("measured", "confirmed")

    def test_wrong_weights_that_were_written_to_it_were_not_whatever_the_log_says(self) -> None:
        assert self.judged(17e9) == ("inferred", "contradicted")


class TestDtypeOfTheFastPath:
    def test_right_the_expected_words_are_found(self, config: Config) -> None:
        assert self.checked(config, "The capital of France is Paris.") == []

    def test_wrong_an_answer_of_garbage_is_seen(self, config: Config) -> None:
        assert self.checked(config, "! ! ! !") == ["Paris"]

    def test_either_way_sharding_and_serving_name_the_same_format(self, config: Config) -> None:
        dtypes = {path: config.deployment(path).dtype for path in config.paths}
        assert set(dtypes.values()) == {"bf16"}

    def checked(self, config: Config, answer: str) -> list[str]:
        first = Invocation(kind="first", start_s=0, latency_s=1, ok=True, output_text=answer)
        check = check_answers([first], expected_words(config, "fast"))
        assert check is not None
        return check.missing


class TestStandardPullsFromTheHub:
    def test_right_the_hub_can_be_chosen(self, tmp_path: Path) -> None:
        model = variables("standard", tmp_path, "standard_deployment_info.weights_from=hub")["model"]
        assert model["environment"]["HF_MODEL_ID"] == "meta-llama/Llama-3.1-8B-Instruct"
        assert model["data_uri"] is None

    def test_wrong_no_container_needs_it(self, tmp_path: Path) -> None:
        for path in ("standard", "fast"):
            model = variables(path, tmp_path)["model"]
            assert "HF_MODEL_ID" not in model["environment"]
            assert model["data_uri"].startswith("s3://mine/")


class TestNoDataCache:
    def requested(self, account: stubs.Account, kind: EndpointKind = "inference_component") -> bool | None:
        return requested_caching(account, kind, asks_schema=True)

    def schema(self, text: str) -> stubs.Account:
        account = stubs.Account()
        account.answers("cloudformation", "describe_type", {"Schema": text})
        return account

    def weights(self, specification: dict[str, Any]) -> tuple[str, str]:
        """State of the weights' layer of a later copy, and what is said, where Describe reports this."""
        run = make_record("fast", ready_s=100)
        run.deployment.caches = described_caches({"Specification": {"ModelName": "m", **specification}})
        run.layers = find_layers([], [], new_endpoint=False, new_stream=True, caching=run.deployment.caching)
        (layer,) = (item for item in run.layers if item.name == "weights")
        return layer.state, " ".join(findings(run))

    def test_right_nothing_is_sent_where_the_setting_is_not_known(self) -> None:
        assert self.requested(self.schema('{"properties": {}}')) is None
        assert self.requested(stubs.Account(), "model_based") is None
        denied = stubs.Account()
        denied.refuses("cloudformation", "describe_type", "AccessDenied")
        assert self.requested(denied) is None
        assert self.weights({})[0] == "unknown"

    def test_wrong_it_is_switched_off_and_what_describe_reports_is_recorded(self, tmp_path: Path) -> None:
        assert self.requested(self.schema('{"DataCacheConfig": {"type": "object"}}')) is False
        assert variables("fast", tmp_path)["endpoint"]["enable_caching"] is False
        assert variables("standard", tmp_path)["endpoint"]["enable_caching"] is None
        assert self.weights({"DataCacheConfig": {"EnableCaching": False}})[0] == "cold"

    @pytest.mark.parametrize(
        ("caches", "answer"),
        [
            ({"Specification.DataCacheConfig.EnableCaching": False}, "confirmed"),
            ({"Specification.DataCacheConfig.EnableCaching": True}, "contradicted"),
            ({}, "could not tell"),
        ],
    )
    def test_the_live_check_settles_it(self, caches: Caches, answer: str) -> None:
        run = make_record("fast")
        run.deployment.caches = caches
        verdict = data_cache_off(Seen(None, Path(), runs={"fast": run}))
        assert verdict is not None
        assert verdict.answer == answer

    def test_wrong_a_cache_that_is_on_all_the_same_is_said(self) -> None:
        state, said = self.weights({"DataCacheConfig": {"EnableCaching": True}})
        assert state == "unknown"
        assert "data cache was on" in said


class TestEndpointRemoval:
    def account(self, refusals: int) -> FakeAccount:
        account = FakeAccount()
        for sort in ("inference_component", "endpoint", "endpoint_config", "model"):
            account.add(sort, NAME, {"loadbench:project": "loadbench"}, endpoint=NAME)
        words = "Cannot delete endpoint: inference components are being deleted"
        account.errors["delete_endpoint", NAME] = [client_error("ValidationException", words)] * refusals
        return account

    def removed(self, account: FakeAccount, said: list[str]) -> list[Any]:
        found = find_resources(account, "loadbench")
        return remove(account, found, said.append, timeout_s=4200, clock=account.clock, sleep=account.sleep)

    def test_right_an_accepted_removal_takes_no_time(self) -> None:
        account = self.account(refusals=0)
        assert self.removed(account, []) == []
        assert account.now_s < 10

    def test_wrong_refusals_of_five_minutes_are_waited_for_with_a_line(self) -> None:
        account, said = self.account(refusals=65), list[str]()
        assert self.removed(account, said) == []
        assert account.now_s > 300
        assert len([line for line in said if "its removal is refused" in line]) > 5

    def test_wrong_a_component_that_survives_its_endpoint_is_removed(self) -> None:
        account = self.account(refusals=0)
        account.things = [thing for thing in account.things if thing.sort != "endpoint"]
        assert self.removed(account, []) == []
        assert f"inference_component {NAME}" in account.removed

    def test_wrong_for_ever_the_endpoint_is_named_with_the_reason(self) -> None:
        (endpoint, *_) = self.removed(self.account(refusals=10_000), [])
        assert endpoint.kind == "endpoint"
        assert "being deleted" in endpoint.problem


class TestRoleSettles:
    YOUNG = (
        "Could not assume role arn:aws:iam::123456789012:role/r. Please ensure that the role exists.",
        "Access denied to S3 bucket mine: check the role's policy",
        "Could not access model data at s3://mine/models/abc/",
    )

    def repeated(self, refusals: list[Exception], *, may_repeat: bool = True) -> tuple[Time, list[str], int]:
        """Time, lines and calls until the call is accepted."""
        time, said, calls = Time(), list[str](), 0

        def call() -> None:
            nonlocal calls
            calls += 1
            if refusals:
                raise refusals.pop(0)

        repeat_for_new_role(call, said.append, may_repeat=lambda: may_repeat, clock=time, sleep=time.sleep)
        return time, said, calls

    def test_right_one_call_is_enough(self) -> None:
        time, said, calls = self.repeated([])
        assert (time.now_s, said, calls) == (0.0, [], 1)

    @pytest.mark.parametrize("words", YOUNG)
    def test_wrong_the_job_and_terraform_are_repeated_and_say_so(self, words: str) -> None:
        job = client_error("ValidationException", words, "CreateOptimizationJob")
        terraform = ServiceError("terraform apply failed: creating resource", details=words)
        _, said, calls = self.repeated([job, terraform])
        assert calls == 3
        assert all("new role" in line for line in said)
        assert len(said) == 2

    def test_wrong_for_ever_it_ends_after_two_minutes(self) -> None:
        refusals: list[Exception] = [RunError(self.YOUNG[0])] * 100
        with pytest.raises(RunError, match="Could not assume"):
            self.repeated(refusals)
        assert len(refusals) > 70, "pauses grow, so two minutes are few calls"
        assert SETTLES_WITHIN_S == 120

    @pytest.mark.parametrize(
        ("words", "may_repeat"),
        [
            (YOUNG[0], False),  # a role of the user's own, or an endpoint that is already paid for
            ("User: arn:aws:iam::1:user/u is not authorized to perform: s3:PutObject", True),
            ("ResourceLimitExceeded: the account-level service limit", True),
        ],
    )
    def test_a_refusal_that_time_does_not_heal_is_raised_at_once(self, words: str, may_repeat: bool) -> None:
        refusals: list[Exception] = [RunError(words)] * 2
        with pytest.raises(RunError):
            self.repeated(refusals, may_repeat=may_repeat)
        assert len(refusals) == 1


class TestMachineImageNames:
    NEW = "al2023-ami-sagemaker-inference-gpu-4-1"

    def checked(self, monkeypatch: pytest.MonkeyPatch, version: str, *overrides: str) -> list[Any]:
        monkeypatch.setattr(container, "locked_version", lambda root: version)
        config = load_config(ROOT / "config.aws.yaml", overrides)
        return list(container.machine_image(stubs.context(config, paths=["streamer"])))

    def test_right_a_provider_that_takes_it_is_not_questioned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.checked(monkeypatch, "6.21.0", f"streamer_info.inference_ami_version={self.NEW}") == []

    def test_wrong_it_is_refused_before_anything_is_created(self, monkeypatch: pytest.MonkeyPatch) -> None:
        new = f"streamer_info.inference_ami_version={self.NEW}"
        (found,) = self.checked(monkeypatch, "5.100.0", new)
        assert found.status == "failure"
        assert "endpoint_kind: inference_component" in found.remedy
        by_component = "streamer_info.endpoint_kind=inference_component"
        assert self.checked(monkeypatch, "5.100.0", new, by_component) == [], "as the remedy says"


@dataclass
class ComponentEndpoint:
    """SageMaker for one endpoint of components; `refuses` UpdateEndpointWeightsAndCapacities or not."""

    refuses: bool
    instances: int = 1
    copies: int = 1
    most: int = 0  # of managed scaling
    idle_reads: int = 0
    modified_s: float = 0.0
    asked: list[tuple[str, Any]] = field(default_factory=list)
    configurations: dict[str, Any] = field(default_factory=dict)
    configuration: str = NAME

    def __post_init__(self) -> None:
        self.meta = boto3.client(
            "sagemaker", region_name="us-west-2", aws_access_key_id="k", aws_secret_access_key="s"
        ).meta
        variant = {"VariantName": "AllTraffic", "InstanceType": "ml.g5.2xlarge", "InitialInstanceCount": 1}
        self.configurations[NAME] = {
            "EndpointConfigName": NAME,
            "EndpointConfigArn": "arn:aws:sagemaker:us-west-2:123456789012:endpoint-config/c",
            "ExecutionRoleArn": ROLE,
            "ProductionVariants": [variant],
            "CreationTime": datetime.datetime.fromtimestamp(0, datetime.UTC),
        }

    def _times(self) -> dict[str, Any]:
        return {"LastModifiedTime": datetime.datetime.fromtimestamp(self.modified_s, datetime.UTC)}

    def describe_endpoint(self, **_: str) -> dict[str, Any]:
        if self.most and self.copies < self.instances:  # the service releases, some time later
            self.idle_reads += 1
            self.instances -= self.idle_reads // 5
        elif self.most:
            self.instances = min(self.copies, self.most)
        variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": self.instances}
        names = {"EndpointName": NAME, "EndpointConfigName": self.configuration}
        return {"EndpointStatus": "InService", "ProductionVariants": [variant], **names, **self._times()}

    def describe_inference_component(self, **_: str) -> dict[str, Any]:
        counts = {"CurrentCopyCount": self.copies}
        return {"InferenceComponentStatus": "InService", "RuntimeConfig": counts, **self._times()}

    def update_endpoint_weights_and_capacities(self, **request: Any) -> None:
        if self.refuses:
            raise client_error("ValidationException", "not supported for inference components")
        self.instances = request["DesiredWeightsAndCapacities"][0]["DesiredInstanceCount"]
        self._modify("instances", self.instances)

    def update_inference_component_runtime_config(self, **request: Any) -> None:
        self.copies = request["DesiredRuntimeConfig"]["CopyCount"]
        self._modify("copies", self.copies)

    def describe_endpoint_config(self, EndpointConfigName: str) -> Any:  # noqa: N803 - the service's own name
        if EndpointConfigName not in self.configurations:
            raise client_error("ValidationException", "Could not find endpoint configuration")
        return self.configurations[EndpointConfigName]

    def create_endpoint_config(self, **request: Any) -> None:
        self.configurations[request["EndpointConfigName"]] = request

    def list_tags(self, **_: str) -> dict[str, Any]:
        return {"Tags": [{"Key": "loadbench:run-id", "Value": RUN}]}

    def update_endpoint(self, **request: str) -> None:
        self.configuration = request["EndpointConfigName"]
        (variant,) = self.configurations[self.configuration]["ProductionVariants"]
        self.most = variant["ManagedInstanceScaling"]["MaxInstanceCount"]
        self._modify("scaling up to", self.most)

    def _modify(self, what: str, value: int) -> None:
        self.modified_s += 1
        self.asked.append((what, value))


class TestCapacityOfComponents:
    NAMES = ResourceNames(endpoint=NAME, endpoint_configuration=NAME, model=NAME, inference_component=NAME)

    def scaled(self, service: ComponentEndpoint) -> tuple[Instances, Copies]:
        """One copy more, then one less, in the order of a scale-out."""
        instances, copies = counts_of(service, self.NAMES)
        time = Time()
        watch = Watch(clock=time, sleep=time.sleep)
        for count in (instances, copies):
            watch.change(count, 2)
        assert (service.instances, service.copies) in {(2, 2), (1, 2)}  # the service's own come later
        assert instances.read().current == 2
        for count in (copies, instances):
            watch.change(count, 1)
        assert (instances.read().current, copies.read().current) == (1, 1)
        assert isinstance(instances, Instances)
        assert isinstance(copies, Copies)
        return instances, copies

    def test_right_the_instance_is_asked_for(self) -> None:
        service = ComponentEndpoint(refuses=False)
        instances, _ = self.scaled(service)
        assert service.asked == [("instances", 2), ("copies", 2), ("copies", 1), ("instances", 1)]
        assert not instances.follows_copies

    def test_wrong_the_service_adds_it_by_managed_scaling_with_the_runs_own_tags(self) -> None:
        service = ComponentEndpoint(refuses=True)
        instances, _ = self.scaled(service)
        assert service.asked == [("scaling up to", 2), ("copies", 2), ("copies", 1)]
        assert instances.follows_copies
        made = service.configurations[service.configuration]
        assert made["EndpointConfigName"].startswith(NAME), "found and removed with the run"
        assert made["Tags"] == service.list_tags()["Tags"]
        assert made["ExecutionRoleArn"] == ROLE
        assert made.keys() <= set(
            service.meta.service_model.operation_model("CreateEndpointConfig").input_shape.members
        )

    def test_wrong_for_a_model_based_endpoint_the_refusal_is_the_answer(self) -> None:
        service = ComponentEndpoint(refuses=True)
        (count,) = counts_of(service, self.NAMES.model_copy(update={"inference_component": None}))
        with pytest.raises(ClientError, match="not supported"):
            Watch(clock=Time()).change(count, 2)


class TestJobRequest:
    @pytest.mark.parametrize(
        ("layout", "prefix"),
        [
            ("", "optimized/key/job/"),  # right: directly below what was asked for
            ("/", "optimized/key/job//"),  # wrong: a slash more, as where the location ends in one
            ("/job/", "optimized/key/job//job/"),  # wrong: a folder of the job's own
        ],
    )
    def test_the_shards_are_found_where_the_job_wrote_them(
        self, aws_session: Any, layout: str, prefix: str
    ) -> None:
        s3, bucket = aws_session.client("s3"), "evidence-job"
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        keys = [
            f"optimized/key/job/{layout}{name}"
            for name in ("serving.properties", "sagemaker-fast-model-loader-1/c")
        ]
        try:
            for key in keys:
                s3.put_object(Bucket=bucket, Key=key, Body=b"chunk")
            written = job_module._written(aws_session, bucket, "optimized/key/job/", "job")
        finally:
            for key in keys:
                s3.delete_object(Bucket=bucket, Key=key)
            s3.delete_bucket(Bucket=bucket)
        assert (written.prefix, written.shards_bytes) == (prefix, 5)


class TestJobLogGroup:
    def logs(self, groups: list[str], streams: dict[str, str]) -> Any:
        """A session whose log groups have these streams; a group named `denied` may not be read."""

        class Logs:
            def get_paginator(self, _: str) -> Any:
                pages = [{"logGroups": [{"logGroupName": name} for name in groups]}]
                return type("Pages", (), {"paginate": lambda *_, **__: pages})()

            def describe_log_streams(self, **request: Any) -> Any:
                if "denied" in request["logGroupName"]:
                    raise client_error("AccessDeniedException")
                stream = streams.get(request["logGroupName"], "")
                is_ours = stream.startswith(request["logStreamNamePrefix"]) and stream
                return {"logStreams": [{"logStreamName": stream}] if is_ours else []}

            def get_log_events(self, **_: Any) -> Any:
                return {"events": [{"message": "CUDA out of memory\n"}]}

        return type("Session", (), {"client": lambda *_: Logs()})()

    @pytest.mark.parametrize(
        "group", ["/aws/sagemaker/OptimizationJobs", "/aws/sagemaker/ProcessingJobs"], ids=["right", "wrong"]
    )
    def test_the_log_is_read_wherever_it_is(self, group: str) -> None:
        groups = ["/aws/sagemaker/Endpoints/x", "/aws/sagemaker/A-denied-optimization", group]
        found = read_job_log(self.logs(groups, {group: f"{NAME}/i-1"}), NAME)
        assert found == JobLog(group, ["CUDA out of memory"])

    def test_wrong_without_any_group_the_jobs_own_reason_has_to_do(self) -> None:
        assert read_job_log(self.logs(["/aws/sagemaker/denied"], {}), NAME) == JobLog()


class TestJobTag:
    def test_both_names_are_set(self) -> None:
        """With their values: `terraform/tests/model.tftest.hcl`, which plans the module."""
        text = (ROOT / "terraform" / "modules" / "model" / "main.tf").read_text(encoding="utf-8")
        names = re.findall(r'^ +"?([\w:-]+)"? += var\.model\.optimization_job_name$', text, re.MULTILINE)
        assert names == ["OptimizationJobName", "sagemaker-sdk:optimization-job-name"]


class TestPolicySuffices:
    DENIED = (
        "User: arn:aws:iam::123456789012:user/u is not authorized to perform: kms:DescribeKey on resource:"
        " arn:aws:kms:us-west-2:123456789012:key/k"
    )

    def test_right_nothing_asks_for_a_key(self) -> None:
        """That every recorded call is allowed: tests/account/test_policy.py."""
        policy = (ROOT / "docs" / "iam-policy.json").read_text(encoding="utf-8")
        assert "kms:" not in policy

    def test_wrong_the_action_is_named_with_the_page_that_lists_them(self) -> None:
        reported = explained(ServiceError(self.DENIED))
        assert "kms:DescribeKey" in reported.message
        assert "docs/iam-policy.json" in reported.remedy
