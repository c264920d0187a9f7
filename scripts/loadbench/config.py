"""The configuration: typed, strict, and compatible with the two sections that the first users wrote."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from loadbench import sample_request
from loadbench.config_file import read_document
from loadbench.errors import ConfigError
from loadbench.load_paths import LOAD_PATHS, EndpointKind, LoadPath, WeightsFrom, takes_chat_requests

Target = Literal["local", "aws"]

_SHORT_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32"}
_BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


EnvironmentName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,1023}$")]
# No stripping: a value of the container environment reaches the container as it was written.
EnvironmentValue = Annotated[str, Field(max_length=1024)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]


class EndpointSettings(_Strict):
    """Keys of a section that Terraform's variable `endpoint` has under the same names."""

    instance_type: str = Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    instance_count: int = Field(default=1, ge=1, le=100, strict=True)
    inference_ami_version: OptionalText = Field(default=None, pattern=r"^[a-z0-9-]{1,63}$")
    # A reservation, not a limit; a quarter of an instance's memory has been refused:
    # docs/facts/aws-evidence.md#component-memory
    min_memory_mib: int = Field(default=1024, ge=128, strict=True)
    routing_strategy: Literal["LEAST_OUTSTANDING_REQUESTS", "RANDOM"] | None = None


class DeploymentInfo(EndpointSettings):
    """One way to deploy: the seed's keys, then what this project adds."""

    model_config = ConfigDict(str_strip_whitespace=False)

    hf_model_id: str = Field(min_length=1, max_length=500)
    sagemaker_exec_role: OptionalText = Field(
        default=None, pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$"
    )
    image_uri: str = Field(min_length=1, max_length=255)
    container_env_vars: dict[EnvironmentName, EnvironmentValue] = Field(default_factory=dict, max_length=100)
    container_startup_health_check_timeout: int = Field(default=600, ge=60, le=3600, strict=True)
    use_hf_token: bool = False
    sample_input: dict[str, Any] | None = None
    sample_output: list[dict[str, Any]] | dict[str, Any] | None = None
    bucket: OptionalText = Field(default=None, pattern=_BUCKET)
    # Added by this project.
    endpoint_kind: EndpointKind | None = None
    weights_from: WeightsFrom | None = None

    @property
    def endpoint_settings(self) -> dict[str, Any]:
        """What Terraform's variable `endpoint` takes unchanged."""
        return self.model_dump(include=set(EndpointSettings.model_fields))

    def option(self, name: str) -> str | None:
        """What the container's environment says of an option of the engine, whichever server reads it.

        LMI's names begin with `OPTION_`, those of the vLLM server's image with `SM_VLLM_`.
        """
        variables = self.container_env_vars
        return variables.get(f"OPTION_{name}", variables.get(f"SM_VLLM_{name}"))

    @property
    def dtype(self) -> str:
        """The number format asked for, by LMI's short names; "auto" where none is."""
        written = self.option("DTYPE") or "auto"
        return _SHORT_DTYPES.get(written, written)

    @property
    def image_tag(self) -> str:
        """The part of `image_uri` after the last colon, '' without one."""
        return self.image_uri.rpartition(":")[2] if ":" in self.image_uri.rpartition("/")[2] else ""


class FastDeploymentInfo(DeploymentInfo):
    """The fast path's section; the optimization job may run on another instance type than the endpoint."""

    optimization_instance_type: str | None = Field(default=None, pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")


class BenchmarkSettings(_Strict):
    """How runs are made and repeated."""

    pairs: int = Field(default=1, ge=1, le=1000, strict=True)
    warm_invocations: int = Field(default=5, ge=0, le=10_000, strict=True)
    seed: int = Field(default=0, ge=0, strict=True)
    expires_after_hours: float = Field(default=4, gt=0, le=24 * 30)
    like_for_like: bool = False
    expected_words: list[str] | None = None
    """Words that the first answer must contain; None: those of `sample_output` that the question lacks."""


class NetworkShaping(_Strict):
    """S3 as an instance sees it. Source of the defaults: docs/facts/s3.md#connection-rate."""

    connection_bytes_per_s: float | None = Field(default=90e6, gt=0)
    instance_bytes_per_s: float | None = Field(default=None, gt=0)  # None: the instance type's own figure
    first_byte_delay_s: float = Field(default=0.02, ge=0, le=60)


def _shaping(value: object) -> object:
    if value is None:
        return NetworkShaping()
    if value == "none":
        return None
    if isinstance(value, (dict, NetworkShaping)):
        return value
    raise ValueError("must be 'none' or a section with rates")


class LocalSettings(_Strict):
    """The embedded AWS. Simulated seconds are zero by default, and marked wherever they are not."""

    state_dir: str = ".localaws"
    network: Annotated[NetworkShaping | None, BeforeValidator(_shaping)] = Field(
        default_factory=NetworkShaping
    )
    provision_s: float = Field(default=0, ge=0, le=3600)
    image_pull_s: float = Field(default=0, ge=0, le=3600)
    instance_quota: int = Field(default=4, ge=0)
    faults: list[dict[str, Any]] = Field(default_factory=list)


class StateSettings(_Strict):
    """Where Terraform's state lies: in a bucket, or (without one) in a file on this machine."""

    bucket: OptionalText = Field(default=None, pattern=_BUCKET)


class Pricing(_Strict):
    """Prices that go before the table in the repository."""

    usd_per_hour: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    source: str = "config.yaml"


class Config(_Strict):
    """The whole file, checked. `path_of_file` and `overrides` are kept for messages and records."""

    target: Target = "local"
    region: str = Field(default="us-west-2", pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]+$")
    project: str = Field(default="loadbench", pattern=r"^[a-z][a-z0-9-]{0,18}[a-z0-9]$")
    standard_deployment_info: DeploymentInfo
    fast_model_loading_info: FastDeploymentInfo
    streamer_info: DeploymentInfo | None = None
    fastload_info: DeploymentInfo | None = None
    benchmark: BenchmarkSettings = Field(default_factory=BenchmarkSettings)
    local: LocalSettings = Field(default_factory=LocalSettings)
    state: StateSettings = Field(default_factory=StateSettings)
    pricing: Pricing = Field(default_factory=Pricing)

    def deployment(self, load_path: LoadPath) -> DeploymentInfo:
        """The section of one path. ConfigError, with what to add, where the configuration has none."""
        section: DeploymentInfo | None = getattr(self, LOAD_PATHS[load_path].section)
        if section is None:
            raise self._not_configured(load_path)
        return section

    @property
    def paths(self) -> tuple[LoadPath, ...]:
        """The paths that have a section."""
        return tuple(
            load_path for load_path, traits in LOAD_PATHS.items() if getattr(self, traits.section) is not None
        )

    def _not_configured(self, load_path: LoadPath) -> ConfigError:
        other, example = self.standard_deployment_info, LOAD_PATHS[load_path].example
        section: dict[str, Any] = {
            "hf_model_id": other.hf_model_id,
            "instance_type": other.instance_type,
            "image_uri": example.image if example else other.image_uri,
            "container_env_vars": dict(example.environment) if example else other.container_env_vars,
        }
        if example and example.inference_ami_version:
            section["inference_ami_version"] = example.inference_ami_version
        text = yaml.safe_dump({LOAD_PATHS[load_path].section: section}, sort_keys=False, width=200)
        return ConfigError(
            f"the configuration has no section {LOAD_PATHS[load_path].section}, "
            f"which the {load_path} path needs",
            details=f"Add for example:\n\n{text}",
            remedy="The default config.yaml has the whole section.",
        )

    def endpoint_kind(self, load_path: LoadPath) -> EndpointKind:
        """Model-based as in the seed for the standard path, unless configured or compared like for like."""
        if self.benchmark.like_for_like:
            return "inference_component"
        return self.deployment(load_path).endpoint_kind or LOAD_PATHS[load_path].endpoint_kind

    def weights_from(self, load_path: LoadPath) -> WeightsFrom:
        """S3 unless the section asks for the hub, so that all load paths read from the same source.

        Images with an old hub client can no longer download from the hub's storage: see
        docs/facts/aws-evidence.md.
        """
        if self.benchmark.like_for_like:
            return "s3"
        return self.deployment(load_path).weights_from or "s3"

    def image(self, load_path: LoadPath) -> str:
        """The image with `{region}` filled in."""
        return self.deployment(load_path).image_uri.replace("{region}", self.region)

    def sample_input(self, load_path: LoadPath) -> dict[str, Any]:
        """The sample request; the seed writes it in the fast section only, and every path answers it."""
        samples = (self.deployment(name).sample_input for name in (load_path, *self.paths))
        sample = next((sample for sample in samples if sample is not None), sample_request.DEFAULT)
        is_chat = takes_chat_requests(load_path, self.image(load_path))
        return sample_request.as_chat(sample) if is_chat else sample

    def sample_output(self, load_path: LoadPath) -> Any:
        """The example of an answer; written in one section, it applies to all that lack one."""
        samples = (self.deployment(name).sample_output for name in (load_path, *self.paths))
        return next((sample for sample in samples if sample is not None), None)

    @property
    def digest(self) -> str:
        """Twelve hex digits that change when anything in the configuration changes what a run measures."""
        unmeasured: dict[str, Any] = {
            "benchmark": {"pairs", "seed", "expires_after_hours", "expected_words"},
            "pricing": True,
            "project": True,
            "state": True,
        }
        text = json.dumps(
            self.model_dump(mode="json", exclude=unmeasured), sort_keys=True, ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a configuration file.

    `overrides` are `section.key=value` texts, the value in YAML.
    Raises ConfigError naming file, line and key.
    """
    document, places = read_document(path, overrides)
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise _explain(error, path, places) from error


def _explain(error: ValidationError, path: Path, places: Mapping[tuple[str, ...], str]) -> ConfigError:
    sentences: list[str] = []
    for item in error.errors(include_url=False):
        keys = tuple(str(part) for part in item["loc"] if str(part) != "[key]")
        # The key itself, or the section it is missing from.
        place = next((places[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in places), None)
        name = ".".join(keys)
        where = f"{place}: " if place == f"--set {name}" else f"{place}, {name}: " if place else f"{name}: "
        sentences.append(f"{where}{_reason(item, keys)}")
    text = "\n  ".join(dict.fromkeys(sentences))
    written = all(sentence.startswith("--set") for sentence in sentences)
    what = "the options do not make" if written else f"{path} is not"
    return ConfigError(
        f"{what} a valid configuration:\n  {text}",
        remedy="The keys and what they mean are in docs/configuration.md.",
    )


def _reason(item: Any, keys: tuple[str, ...]) -> str:
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(keys[-1], _known_keys(keys[:-1]), n=1)
        return f"unknown key{f', did you mean {near[0]!r}?' if near else ''}"
    if item["type"] == "missing":
        return "is missing"
    message = re.sub(r"^Value error, ", "", str(item["msg"]))
    given = repr(item.get("input"))
    return f"{message[:1].lower()}{message[1:]} (given: {given if len(given) < 80 else given[:77] + '…'})"


def _known_keys(section: Iterable[str]) -> list[str]:
    model: Any = Config
    for key in section:
        field = model.model_fields.get(key)
        model = field.annotation if field else None
        model = next(
            (part for part in get_args(model) if part is not type(None)), model
        )  # of an optional one
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return list(NetworkShaping.model_fields) if key == "network" else []
    return list(model.model_fields)
