"""The configuration: typed, strict, and compatible with the original two-section format."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

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
# Whitespace is kept: the container gets every value of its environment exactly as written.
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
    """How one loading method is deployed: the original keys, then those that this project added."""

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
    start_probe: bool = False

    @property
    def endpoint_settings(self) -> dict[str, Any]:
        """The attributes that Terraform's variable `endpoint` takes unchanged."""
        return self.model_dump(include=set(EndpointSettings.model_fields))

    def option(self, name: str) -> str | None:
        """An engine option from the container's environment, whichever server reads it; None if it is not
        set.

        LMI's names begin with `OPTION_`, those of the vLLM server's image with `SM_VLLM_`.
        """
        variables = self.container_env_vars
        return variables.get(f"OPTION_{name}", variables.get(f"SM_VLLM_{name}"))

    @property
    def dtype(self) -> str:
        """The configured number format under LMI's short name; "auto" if none is configured."""
        written = self.option("DTYPE") or "auto"
        return _SHORT_DTYPES.get(written, written)

    @property
    def image_tag(self) -> str:
        """The part of `image_uri` after the last colon, '' without one."""
        return self.image_uri.rpartition(":")[2] if ":" in self.image_uri.rpartition("/")[2] else ""


class FastDeploymentInfo(DeploymentInfo):
    """The section of the fast method; its optimization job may use another instance type than the
    endpoint.
    """

    optimization_instance_type: str | None = Field(default=None, pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")


class BenchmarkSettings(_Strict):
    """How often and in which order to run."""

    pairs: int = Field(default=1, ge=1, le=1000, strict=True)
    warm_invocations: int = Field(default=5, ge=0, le=10_000, strict=True)
    seed: int = Field(default=0, ge=0, strict=True)
    expires_after_hours: float = Field(default=4, gt=0, le=24 * 30)
    like_for_like: bool = False
    expected_words: list[str] | None = None
    """Words that the first answer must contain; None: the words of `sample_output` that are not in the
    request.
    """


class NetworkShaping(_Strict):
    """S3 bandwidth and latency of an instance. Source of the defaults: docs/facts/s3.md#connection-rate."""

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
    """The embedded AWS. Simulated durations are zero by default; others are marked in every result."""

    state_dir: str = ".localaws"
    network: Annotated[NetworkShaping | None, BeforeValidator(_shaping)] = Field(
        default_factory=NetworkShaping
    )
    provision_s: float = Field(default=0, ge=0, le=3600)
    image_pull_s: float = Field(default=0, ge=0, le=3600)
    instance_quota: int = Field(default=4, ge=0)
    faults: list[dict[str, Any]] = Field(default_factory=list)


class StateSettings(_Strict):
    """Where Terraform's state is stored: in a bucket, or without one in a file on this machine."""

    bucket: OptionalText = Field(default=None, pattern=_BUCKET)


class Pricing(_Strict):
    """Prices that override the built-in table."""

    usd_per_hour: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    source: str = "config.yaml"


def _without_location(info: DeploymentInfo) -> DeploymentInfo:
    """Refuse a location of the weights, which would be replaced by the prefix of the uploaded model."""
    variable = LOAD_PATHS["fastload"].weights_variable
    if variable in info.container_env_vars:
        raise ValueError(f"remove {variable}, which is set to the prefix of the uploaded model")
    return info


class Config(_Strict):
    """The whole configuration, validated."""

    target: Target = "local"
    region: str = Field(default="us-west-2", pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]+$")
    project: str = Field(default="loadbench", pattern=r"^[a-z][a-z0-9-]{0,18}[a-z0-9]$")
    standard_deployment_info: DeploymentInfo
    fast_model_loading_info: FastDeploymentInfo
    streamer_info: DeploymentInfo | None = None
    fastload_info: Annotated[DeploymentInfo, AfterValidator(_without_location)] | None = None
    benchmark: BenchmarkSettings = Field(default_factory=BenchmarkSettings)
    local: LocalSettings = Field(default_factory=LocalSettings)
    state: StateSettings = Field(default_factory=StateSettings)
    pricing: Pricing = Field(default_factory=Pricing)

    def deployment(self, load_path: LoadPath) -> DeploymentInfo:
        """The section of one load path. Raises ConfigError with an example to add if the configuration has
        none.
        """
        section: DeploymentInfo | None = getattr(self, LOAD_PATHS[load_path].section)
        if section is None:
            raise self._not_configured(load_path)
        return section

    @property
    def paths(self) -> tuple[LoadPath, ...]:
        """The load paths that have a section."""
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
            remedy="Every key of a section: docs/configuration.md.",
        )

    def endpoint_kind(self, load_path: LoadPath) -> EndpointKind:
        """The configured endpoint kind or the load path's default; components for all in a like-for-like
        comparison.
        """
        if self.benchmark.like_for_like:
            return "inference_component"
        return self.deployment(load_path).endpoint_kind or LOAD_PATHS[load_path].endpoint_kind

    def weights_from(self, load_path: LoadPath) -> WeightsFrom:
        """S3 unless the section chooses the hub, so that all load paths read from the same source.

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
        """The sample request: the section's own, or the first section's that has one."""
        samples = (self.deployment(name).sample_input for name in (load_path, *self.paths))
        sample = next((sample for sample in samples if sample is not None), sample_request.DEFAULT)
        is_chat = takes_chat_requests(load_path, self.image(load_path))
        return sample_request.as_chat(sample) if is_chat else sample

    def sample_output(self, load_path: LoadPath) -> Any:
        """The example of an answer: the section's own, or the first section's that has one."""
        samples = (self.deployment(name).sample_output for name in (load_path, *self.paths))
        return next((sample for sample in samples if sample is not None), None)

    @property
    def digest(self) -> str:
        """Twelve hex digits over all settings that affect what a run measures."""
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

    `overrides` are strings of the form `section.key=value`, with the value in YAML.
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
        # The key itself, the section it is missing from, or an option that made an unknown section.
        place = next((places[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in places), None)
        place = place or next((place for key, place in places.items() if key[: len(keys)] == keys), None)
        name = ".".join(keys)
        named = f"{place}.".startswith(f"--set {name}.")
        where = f"{place}: " if named else f"{place}, {name}: " if place else f"{name}: "
        sentences.append(f"{where}{_reason(item, keys)}")
    text = "\n  ".join(dict.fromkeys(sentences))
    written = all(sentence.startswith("--set") for sentence in sentences)
    what = "the options do not form" if written else f"{path} is not"
    return ConfigError(
        f"{what} a valid configuration:\n  {text}",
        remedy="The keys and what they mean are in docs/configuration.md.",
    )


def _reason(item: Any, keys: tuple[str, ...]) -> str:
    if item["type"] == "extra_forbidden":
        known = _known_keys(keys[:-1])
        near = [key for key in known if key.startswith(f"{keys[-1]}_")]  # standard, fast
        near = near or difflib.get_close_matches(keys[-1], known, n=1)
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
