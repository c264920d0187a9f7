"""An image or a degree that cannot work is found before anything is created, and says what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadbench.config import Config
from loadbench.run.preflight import container
from tests.loadbench.run.preflight.stubs import Account, changed, context, on_aws, only


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
            "is in us-east-1",
        ),
        ("763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference", "failure", "has no tag"),
        ("123456789012.dkr.ecr.us-west-2.amazonaws.com/our-own:7", "warning", "it is not known whether"),
    ],
)
def test_an_image_that_cannot_be_right_is_reported(config: Config, uri: str, status: str, words: str) -> None:
    check = only(container.image(context(changed(config, image_uri=uri), paths=["fast"])))
    assert check.status == status
    assert words in check.message


@pytest.mark.parametrize(
    ("region", "remedy"),
    [
        ("cn-north-1", "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/djl-inference:0.32.0-lmi14.0.0"),
        ("us-gov-west-1", "442386744353.dkr.ecr.us-gov-west-1.amazonaws.com/djl-inference:0.32.0-lmi14.0.0"),
        ("eusc-de-east-1", "204133271717.dkr.ecr.eusc-de-east-1.amazonaws.eu/djl-inference:0.32.0-lmi14.0.0"),
        ("us-iso-west-1", "your own registry"),
    ],
)
def test_where_aws_has_another_registry_that_is_named(config: Config, region: str, remedy: str) -> None:
    uri = "763104351884.dkr.ecr.{region}.amazonaws.com/djl-inference:0.32.0-lmi14.0.0"
    there = changed(config, image_uri=uri).model_copy(update={"region": region})
    check = only(container.image(context(there, paths=["fast"])))
    assert check.status == "failure"
    assert remedy in check.remedy


@pytest.mark.parametrize(
    ("image", "status"),
    [
        ("vllm:server-sagemaker-cuda-v1.4", "ok"),
        ("vllm:server-sagemaker-cuda-v2", "ok"),
        ("vllm:0.11.2-gpu-py312", "failure"),
        ("djl-inference:0.32.0-lmi14.0.0-cu126", "failure"),
        ("djl-inference:0.33.0-lmi15.0.0-cu128", "failure"),
        ("our-own:7", "warning"),
    ],
)
def test_the_streamer_path_needs_an_image_with_the_streamer(config: Config, image: str, status: str) -> None:
    info = config.fast_model_loading_info.model_copy(
        update={"image_uri": f"763104351884.dkr.ecr.{{region}}.amazonaws.com/{image}"}
    )
    with_section = config.model_copy(update={"streamer_info": info})
    check = only(container.image(context(with_section, paths=["streamer"])))
    assert check.status == status
    assert status == "ok" or "djl-serving downloads" in check.remedy


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
    ("prepare", "status"),
    [
        (lambda a: a.answers("ecr", "batch_get_image", {"images": [{"imageId": {"imageTag": "t"}}]}), "ok"),
        (lambda a: a.answers("ecr", "batch_get_image", {"images": []}), "failure"),
        (lambda a: a.refuses("ecr", "batch_get_image", "RepositoryNotFoundException"), "failure"),
        (lambda a: a.refuses("ecr", "batch_get_image", "AccessDeniedException"), "warning"),
    ],
)
def test_a_tag_that_the_registry_does_not_have_is_reported(
    config: Config, prepare: Callable[[Account], object], status: str
) -> None:
    session = Account()
    prepare(session)
    assert only(container.image_exists(context(on_aws(config), session))).status == status
