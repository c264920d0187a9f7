"""A model that cannot be had, read, stored or held is found before anything is created."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from loadbench.config import Config
from loadbench.errors import UsageError
from loadbench.progress import ignore_progress
from loadbench.run.models import hub, synthetic
from loadbench.run.models.resolve import cached_folder
from loadbench.run.preflight import weights
from tests.loadbench.run.preflight.stubs import Account, changed, context, on_aws, only


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


def test_heads_that_the_degree_does_not_divide_are_reported(config: Config) -> None:
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


def headers_only(folder: Path, **files: dict[str, tuple[str, list[int]]]) -> Path:
    """A model whose files end behind their headers: its size is known, its weights are not there."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    for name, tensors in files.items():
        header, end = {}, 0
        for tensor, (dtype, shape) in tensors.items():
            begin, end = end, end + math.prod(shape) * {"BF16": 2, "F16": 2, "I32": 4}[dtype]
            header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        (folder / f"{name}.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    return folder


def test_packed_weights_take_the_memory_they_take(config: Config, tmp_path: Path) -> None:
    packed = {"w": ("I32", [4 << 10, 2 << 20]), "s": ("F16", [1 << 20])}  # 34.4 GB, 8.6 billion numbers
    wanted = changed(config, hf_model_id=str(headers_only(tmp_path / "m", model=packed)))
    check = only(weights.memory(context(wanted, paths=["fast"])))
    assert (check.status, "34.4 of" in check.message) == ("failure", True)


def test_a_second_copy_of_the_weights_is_not_counted(config: Config, tmp_path: Path) -> None:
    one, other = {"a": ("BF16", [1 << 20, 3 << 10])}, {"b": ("BF16", [1 << 20, 3 << 10])}  # 6.4 GB each
    folder = headers_only(tmp_path / "m", first=one, second=other, consolidated=one | other)
    index = {"weight_map": {"a": "first.safetensors", "b": "second.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    check = only(weights.memory(context(changed(config, hf_model_id=str(folder)), paths=["fast"])))
    assert (check.status, "12.9 of" in check.message) == ("ok", True)


def test_a_model_on_this_disk_that_cannot_be_served_is_found(config: Config, tmp_path: Path) -> None:
    folder = headers_only(tmp_path / "m", model={"a": ("BF16", [8])})
    wanted = context(changed(config, hf_model_id=str(folder)))
    check = only(weights.source(wanted))
    assert (check.status, "was cut short" in check.message) == ("failure", True)
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "Git LFS pointer" in only(weights.source(wanted)).message
    assert list(weights.memory(wanted)) == []


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("synthetic:llama-tiny", "ok"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "ok"),
        ("synthetic:llama-900b", "failure"),
        ("org/not-here", "failure"),
    ],
)
def test_a_model_that_cannot_be_had_is_reported(config: Config, model: str, status: str) -> None:
    assert only(weights.source(context(changed(config, hf_model_id=model)))).status == status


@pytest.mark.parametrize(("weights_from", "status"), [("hub", "failure"), ("s3", "warning")])
def test_a_token_that_is_asked_for_and_missing_is_reported(
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
        (True, "unreachable", "warning", "is not reachable"),
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


def test_a_folder_that_does_not_exist_is_not_looked_for_on_the_hub(config: Config, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    check = only(weights.source(context(changed(config, hf_model_id=absent))))
    assert (check.status, check.message) == ("failure", f"the folder {absent} does not exist")


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
    from_hub = changed(on_aws(config), weights_from="hub")
    assert list(weights.bucket(context(from_hub, paths=["standard"]))) == []


@pytest.mark.parametrize(
    ("status", "words"), [(404, "does not exist"), (403, "may not use"), (301, "another region")]
)
def test_a_bucket_that_cannot_be_used_is_reported(config: Config, status: int, words: str) -> None:
    session = Account()
    session.refuses("s3", "head_bucket", str(status), status)
    check = only(weights.bucket(context(on_aws(changed(config, bucket="the-bucket")), session, ["fast"])))
    assert check.status == "failure"
    assert words in check.message


def test_a_bucket_that_takes_no_objects_is_reported(config: Config) -> None:
    session = Account()
    session.answers(
        "s3", "head_bucket", {"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": "us-west-2"}}}
    )
    session.refuses("s3", "put_object", "AccessDenied", 403)
    check = only(weights.bucket(context(on_aws(changed(config, bucket="the-bucket")), session, ["fast"])))
    assert (check.status, "cannot write to the bucket" in check.message) == ("failure", True)


def test_a_bucket_of_ones_own_is_written_to_and_left_as_it_was(config: Config, aws_session: Any) -> None:
    s3 = aws_session.client("s3")
    s3.create_bucket(Bucket="preflight-bucket", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    check = only(weights.bucket(context(changed(config, bucket="preflight-bucket"), aws_session, ["fast"])))
    assert check.status == "ok"
    assert "Contents" not in s3.list_objects_v2(Bucket="preflight-bucket")
