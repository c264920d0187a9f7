"""What the container reads from its environment and from serving.properties."""

from __future__ import annotations

from pathlib import Path

import pytest

from localaws.container.errors import ContainerError
from localaws.container.options import image_has_fast_loader, read_options, serving_properties

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"


def write(folder: Path, text: str) -> Path:
    (folder / "serving.properties").write_text(text)
    return folder


def test_serving_properties_win_over_the_environment(tmp_path: Path) -> None:
    write(tmp_path, "# a comment\nengine=Python\noption.dtype=bf16\n\noption.max_model_len = 128\n")

    options = read_options({"LOCALAWS_MODEL_DIR": str(tmp_path), "OPTION_DTYPE": "fp16"})

    assert options.dtype == "bfloat16"
    assert options.max_model_len == 128


def test_a_value_may_hold_an_equals_sign(tmp_path: Path) -> None:
    write(tmp_path, "option.model_id=a=b\n")

    assert serving_properties(tmp_path / "serving.properties") == {"model_id": "a=b"}


def test_the_port_is_the_one_that_sagemaker_asks_for(tmp_path: Path) -> None:
    environment = {"LOCALAWS_MODEL_DIR": str(tmp_path)}

    assert read_options(environment).port == 8080
    assert read_options({**environment, "SAGEMAKER_BIND_TO_PORT": "9090"}).port == 9090


@pytest.mark.parametrize("tag", ["0.31.0-lmi13.0.0-cu124", "0.32.0-lmi14.0.0-cu126"])
def test_images_with_the_fast_loader_are_known(tag: str) -> None:
    assert image_has_fast_loader(f"123.dkr.ecr.eu-west-1.amazonaws.com/djl-inference:{tag}")


@pytest.mark.parametrize("image", ["x:0.33.0-lmi15.0.0-cu128", "x:0.30.0-lmi12.0.0-cu124", "x", "x:latest"])
def test_other_images_have_no_fast_loader(image: str) -> None:
    assert not image_has_fast_loader(image)


def fast(folder: Path, **changes: str) -> dict[str, str]:
    write(folder, "option.load_format=sagemaker_fast_model_loader\n")
    environment = {
        "LOCALAWS_MODEL_DIR": str(folder),
        "LOCALAWS_IMAGE": IMAGE,
        "SM_FAST_MODEL_LOADER_S3_URI": "s3://bucket/sagemaker-fast-model-loader-0-tp1/",
    }
    return {name: value for name, value in {**environment, **changes}.items() if value}


def test_the_load_format_decides_that_weights_are_streamed(tmp_path: Path) -> None:
    assert read_options(fast(tmp_path)).streams


def test_streaming_without_shards_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="optimization job"):
        read_options(fast(tmp_path, SM_FAST_MODEL_LOADER_S3_URI=""))


def test_streaming_in_an_image_without_the_loader_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"lmi15.*0\.32\.0-lmi14"):
        read_options(fast(tmp_path, LOCALAWS_IMAGE="djl-inference:0.33.0-lmi15.0.0-cu128"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("OPTION_DTYPE", "int4"), ("OPTION_MAX_MODEL_LEN", "long"), ("OPTION_TENSOR_PARALLEL_DEGREE", "some")],
)
def test_a_wrong_option_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ContainerError, match=f"{name}={value}"):
        read_options({"LOCALAWS_MODEL_DIR": str(tmp_path), name: value})


VLLM = "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:server-sagemaker-cuda-v1.4"


def test_the_vllm_servers_image_reads_its_own_variables_only(tmp_path: Path) -> None:
    options = read_options(
        {
            "LOCALAWS_MODEL_DIR": str(tmp_path),
            "LOCALAWS_IMAGE": VLLM,
            "HF_MODEL_ID": "s3://bucket/model/",
            "OPTION_DTYPE": "fp16",
            "SM_VLLM_DTYPE": "bfloat16",
            "SM_VLLM_LOAD_FORMAT": "runai_streamer",
            "SM_VLLM_MODEL_LOADER_EXTRA_CONFIG": '{"concurrency": 24}',
            "SM_VLLM_TENSOR_PARALLEL_SIZE": "2",
        }
    )

    assert options.is_vllm_server
    assert options.uses_model_streamer
    assert (options.dtype, options.model_id) == ("bfloat16", "s3://bucket/model/")
    assert (options.streamer_concurrency, options.tensor_parallel_degree) == (24, 2)


def test_vllms_model_goes_before_the_hubs_name_and_one_device_is_its_default(tmp_path: Path) -> None:
    environment = {"LOCALAWS_MODEL_DIR": str(tmp_path), "LOCALAWS_IMAGE": VLLM, "HF_MODEL_ID": "a/b"}

    options = read_options({**environment, "SM_VLLM_MODEL": "s3://bucket/other/"})

    assert options.model_id == "s3://bucket/other/"
    assert options.tensor_parallel_degree == 1


@pytest.mark.parametrize(
    "tag", ["0.32.0-lmi14.0.0-cu126", "0.33.0-lmi15.0.0-cu128", "0.36.0-lmi18.0.0-cu128"]
)
def test_lmi_images_have_no_model_streamer(tmp_path: Path, tag: str) -> None:
    environment = {
        "LOCALAWS_MODEL_DIR": str(tmp_path),
        "LOCALAWS_IMAGE": f"763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:{tag}",
        "OPTION_LOAD_FORMAT": "runai_streamer",
    }
    with pytest.raises(ContainerError, match="does not contain the Run:ai model streamer"):
        read_options(environment)


@pytest.mark.parametrize("value", ["16", "{concurrency: 16}", "[16]"])
def test_what_is_no_object_is_refused_as_extra_configuration(tmp_path: Path, value: str) -> None:
    environment = {"LOCALAWS_MODEL_DIR": str(tmp_path), "OPTION_MODEL_LOADER_EXTRA_CONFIG": value}
    with pytest.raises(ContainerError, match="not a JSON object"):
        read_options(environment)
