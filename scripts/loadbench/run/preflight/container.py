"""Checks of the container image and of the instance type's accelerators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError

from loadbench.config import DeploymentInfo
from loadbench.errors import ConfigError
from loadbench.instance_types import InstanceType, instance_specification, sharding_families
from loadbench.load_paths import LOAD_PATHS, Loader, LoadPath
from loadbench.partitions import image_registry, is_aws_account
from loadbench.run.optimization.job import tensor_parallel_degree
from loadbench.run.preflight.check_result import Check, CheckContext, error_code, is_denied
from loadbench.run.terraform.install import locked_version
from loadbench.workspace import Workspace


@dataclass(frozen=True)
class _Rule:
    """Which of AWS's images have a loader; nothing is known about other images."""

    has: re.Pattern[str]
    remedy: str


# Repository and tag of the images that AWS publishes.
_PUBLISHED = re.compile(r"/(?P<image>(?:djl-inference|vllm):.+)$")
_RULES: dict[Loader, _Rule] = {
    # lmi-dist of LMI v13 and v14 carries it (docs/facts/sagemaker.md#images-with-the-fast-loader).
    "fast model loader": _Rule(
        re.compile(r"^djl-inference:(0\.31\.0-lmi13\.|0\.32\.0-lmi14\.)"),
        "Use a tag 0.31.0-lmi13.… or 0.32.0-lmi14.… of djl-inference; later images do not ship the loader.",
    ),
    # Part of AWS's image of the vLLM server (docs/facts/vllm.md#sagemaker-image).
    "Run:ai model streamer": _Rule(
        re.compile(r"^vllm:server-sagemaker-cuda"),
        "Use vllm:server-sagemaker-cuda-v…: LMI images (djl-inference), including those after v14,"
        " install vLLM"
        " without the streamer, and djl-serving downloads an s3:// model to disk before vLLM starts.",
    ),
    # Part of vLLM in every image; the supervisor installs the plug-in since v1.3.
    "plug-ins of vLLM": _Rule(
        re.compile(r"^vllm:server-sagemaker-cuda-v(1\.[3-9]|1\.\d\d|[2-9])"),
        "Use vllm:server-sagemaker-cuda-v1.3 or later, which installs requirements.txt of the model data.",
    ),
}
_DROPS_QUOTES = re.compile(r"/vllm:server-sagemaker-cuda-v1\.[0-4](\D|$)")
_IMAGE = re.compile(
    r"^(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<repository>[^:]+):(?P<tag>.+)$"
)


def image(context: CheckContext) -> Iterator[Check]:
    """The image has the loader that the load path needs, and its registry belongs to the region."""
    for load_path in context.paths:
        uri, needs = context.config.image(load_path), LOAD_PATHS[load_path].needs
        found = _IMAGE.match(uri)
        if not context.config.deployment(load_path).image_tag:
            yield Check("image", "failure", f"{uri} has no tag", "Write the tag after a colon in image_uri.")
        elif found and found["region"] != context.config.region:
            yield Check(
                "image",
                "failure",
                f"{uri} is in {found['region']}, the endpoint in {context.config.region}",
                "Write {region} for the region in image_uri.",
            )
        elif (
            found
            and is_aws_account(found["account"])
            and (wrong := _registry(context.config.region, uri, found))
        ):
            yield wrong
        elif needs:
            yield _loader(load_path, uri, needs)
        else:
            yield Check("image", "ok", f"{uri} for the {load_path} path")


def _registry(region: str, uri: str, found: re.Match[str]) -> Check | None:
    """Checks the registry of AWS's images: each region has its own."""
    if not is_aws_account(found["account"]):
        return None
    host = image_registry(region)
    if host is None:
        return Check(
            "image",
            "failure",
            f"which account publishes AWS's images in {region} is not publicly known, so {uri} may be wrong",
            "Copy the image to your own registry and configure that, or choose another region.",
        )
    if uri.partition("/")[0] == host:
        return None
    return Check(
        "image",
        "failure",
        f"{uri} is not where AWS publishes its images in {region}",
        f"Write image_uri: {host}/{found['repository']}:{found['tag']}",
    )


def _loader(load_path: LoadPath, uri: str, needs: Loader) -> Check:
    rule, published = _RULES[needs], _PUBLISHED.search(uri)
    if published is None:
        return Check(
            "image",
            "warning",
            f"{load_path}: it is not known whether {uri} has the {needs}",
            "For AWS's images: " + rule.remedy,
        )
    if rule.has.match(published["image"]):
        return Check("image", "ok", f"{uri} has the {needs}")
    return Check("image", "failure", f"{load_path}: {uri} has no {needs}", rule.remedy)


def image_exists(context: CheckContext) -> Iterator[Check]:
    """The registry has the tag."""
    for uri in sorted({context.config.image(load_path) for load_path in context.paths}):
        if found := _IMAGE.match(uri):
            yield _in_registry(context, uri, found)


def _in_registry(context: CheckContext, uri: str, found: re.Match[str]) -> Check:
    try:
        answer = context.client("ecr").batch_get_image(
            registryId=found["account"],
            repositoryName=found["repository"],
            imageIds=[{"imageTag": found["tag"]}],
        )
    except ClientError as error:
        if is_denied(error):
            return Check(
                "image tag", "warning", f"the caller may not check for {uri}", "Allow ecr:BatchGetImage."
            )
        if error_code(error) == "RepositoryNotFoundException":
            answer = {"images": []}
        else:
            raise
    if answer["images"]:
        return Check("image tag", "ok", f"the registry has {uri}")
    return Check(
        "image tag",
        "failure",
        f"the registry has no {uri}",
        "Check account, repository and tag in image_uri.",
    )


def quoted_options(context: CheckContext) -> Iterator[Check]:
    """No option of the vLLM server's image needs quotes: its older supervisors drop them.

    docs/facts/aws-evidence.md#streamer-settings-as-json
    """
    for load_path, info in context.deployments():
        for name, value in info.container_env_vars.items():
            if name.startswith("SM_VLLM_") and '"' in value and _DROPS_QUOTES.search(info.image_uri):
                yield Check(
                    "quotes",
                    "warning",
                    f"{load_path}: {name} contains quotes, which images up to v1.4 drop before vLLM reads it",
                    "Use an image after v1.4, or an option without quotes, such as"
                    " RUNAI_STREAMER_CONCURRENCY=16 for the streamer's connections.",
                )


def machine_image(context: CheckContext) -> Iterator[Check]:
    """The AWS provider accepts the machine image: version 5 refuses the newer ones of model-based endpoints.

    docs/facts/aws-evidence.md#machine-image-names
    """
    version = locked_version(Workspace.here().terraform_root)
    for load_path, info in context.deployments():
        name = info.inference_ami_version
        by_provider = context.config.endpoint_kind(load_path) == "model_based"
        if name and by_provider and name.startswith("al2023-") and (version or "").startswith("5."):
            yield Check(
                "machine image",
                "failure",
                f"{load_path}: version {version} of Terraform's AWS provider refuses {name}",
                "Set endpoint_kind: inference_component, whose machine image it does not check, or use"
                " version 6 of the provider (docs/troubleshooting.md#another-version-of-the-aws-provider).",
            )


def accelerators(context: CheckContext) -> Iterator[Check]:
    """The instance type is known, sharding is allowed on it, and the degree matches its accelerators."""
    for path, info in context.deployments():
        try:
            specification = instance_specification(info.instance_type)
            degree = tensor_parallel_degree(info)
        except ConfigError as error:
            yield Check("accelerators", "failure", error.message, error.remedy)
            continue
        yield _fits(path, info, specification, degree)


def _fits(load_path: LoadPath, info: DeploymentInfo, specification: InstanceType, degree: int) -> Check:
    if degree > specification.accelerators:
        return Check(
            "accelerators",
            "failure",
            f"{load_path}: tensor-parallel degree {degree}, but {info.instance_type} has"
            f" {specification.accelerators} accelerator(s)",
            "Lower OPTION_TENSOR_PARALLEL_DEGREE or choose a larger instance type.",
        )
    if LOAD_PATHS[load_path].optimized and not specification.can_shard:
        return Check(
            "accelerators",
            "failure",
            f"sharding is not allowed on {info.instance_type}",
            f"Choose one of the families {', '.join(sharding_families())}.",
        )
    return Check(
        "accelerators",
        "ok",
        f"{load_path}: degree {degree} of {specification.accelerators} on {info.instance_type}",
    )
