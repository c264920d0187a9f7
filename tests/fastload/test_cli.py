"""The command line: each verb on its own, JSON on request, one line and exit code 1 for an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import fastload
from fastload.cli import main
from tests.fastload.checkpoints import LLAMA_CONFIG, llama_tensors, write_checkpoint


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """A checkpoint, and where its shards go."""
    return str(write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)), str(tmp_path / "s")


def test_shard_inspect_verify_and_load_agree(folders: tuple[str, str]) -> None:
    source, shards = folders
    run = CliRunner().invoke
    sharded = json.loads(
        run(main, ["shard", source, shards, "-t", "2", "--json"], catch_exceptions=False).output
    )
    inspected = json.loads(run(main, ["inspect", shards, "--json"], catch_exceptions=False).output)
    assert inspected["source_digest"] == sharded["source_digest"] == fastload.source_digest(source)
    assert inspected["tensor_parallel_degree"] == 2
    assert json.loads(run(main, ["verify", shards, "--json"], catch_exceptions=False).output) == {
        "faults": []
    }
    loaded = json.loads(run(main, ["load", shards, "--rank", "1", "--json"], catch_exceptions=False).output)
    assert (loaded["tensors"], loaded["size_bytes"]) == (inspected["tensors"], inspected["rank_bytes"])
    assert loaded["ceiling_bytes_per_s"] > 0


def test_load_prints_its_share_of_the_ceiling_unless_it_must_not_read_twice(folders: tuple[str, str]) -> None:
    source, shards = folders
    fastload.shard_checkpoint(source, shards)
    run = CliRunner().invoke
    assert " of the ceiling, " in run(main, ["load", shards], catch_exceptions=False).output.splitlines()[1]
    alone = run(main, ["load", shards, "--no-ceiling"], catch_exceptions=False).output
    assert "ceiling" not in alone


def test_verify_names_a_damaged_chunk_and_fails(folders: tuple[str, str]) -> None:
    source, shards = folders
    manifest = fastload.shard_checkpoint(source, shards)
    chunk = Path(shards) / manifest.ranks[0].chunks[0].key
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\0")
    done = CliRunner().invoke(main, ["verify", shards])
    assert done.exit_code == 1
    assert manifest.ranks[0].chunks[0].key in done.output


@pytest.mark.parametrize("verb", ["inspect", "verify", "load"])
def test_an_error_is_one_line(tmp_path: Path, verb: str) -> None:
    done = CliRunner().invoke(main, [verb, str(tmp_path)])
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert len(done.output.splitlines()) == 1


_HEAD = {"architectures": ["LlamaForCausalLM"], "num_attention_heads": 2, "hidden_size": 4}


@pytest.mark.parametrize(
    "config",
    [
        b"[1]",
        b"[" * 100_000,
        b"\xff",
        b'{"architectures":5}',
        b'{"architectures":{"a":1}}',
        json.dumps(_HEAD | {"num_attention_heads": 0}).encode(),
        json.dumps(_HEAD | {"num_attention_heads": "\u00b2"}).encode(),
        json.dumps(_HEAD | {"num_attention_heads": float("inf")}).encode(),
        json.dumps(_HEAD | {"num_key_value_heads": -2}).encode(),
        json.dumps(_HEAD | {"head_dim": -1}).encode(),
        json.dumps(_HEAD).encode().replace(b"2", b"9" * 5000),
    ],
)
def test_a_hostile_configuration_is_one_line(tmp_path: Path, config: bytes) -> None:
    source = write_checkpoint(tmp_path / "m", {"model.layers.0.self_attn.k_proj.weight": torch.zeros(2)})
    (source / "config.json").write_bytes(config)
    one_line(["shard", str(source), str(tmp_path / "s"), "-t", "2"])


@pytest.mark.parametrize("shape", [(), (2,)])
@pytest.mark.parametrize("name", ["embed_tokens", "layers.0.self_attn.o_proj", "layers.0.mlp.up_proj"])
def test_a_tensor_without_the_axis_to_cut_is_one_line_or_is_cut(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    source = write_checkpoint(tmp_path / "m", {f"model.{name}.weight": torch.zeros(shape)}, _HEAD)
    call = ["shard", str(source), str(tmp_path / "s"), "-t", "2"]
    if shape and "o_proj" not in name:
        assert CliRunner().invoke(main, call).exit_code == 0
    else:
        one_line(call)


@pytest.mark.parametrize(
    "call",
    [
        *(["shard", "SOURCE", "NEW", "-t", degree] for degree in ("0", "-1", "3", "1000000000", str(2**70))),
        *(["shard", "SOURCE", "NEW", "--chunk-bytes", size] for size in ("0", "-1", str(2**63))),
        *(["load", "SHARDS", "--rank", rank] for rank in ("-1", "1", str(2**63))),
        *(["load", "SHARDS", "--connections", count] for count in ("0", "-1", str(2**63))),
        *(["load", "SHARDS", "--device", device] for device in ("", "tpu", "\udc80", "\x1b[2J")),
        *(
            ["inspect", place]
            for place in ("s3://", "s3://b\n/x", "gs://x", "/dev/zero", "\udcff", "a" * 5000)
        ),
        ["shard", "SOURCE", "/dev/null/x"],
    ],
)
def test_a_call_that_cannot_be_is_one_line(folders: tuple[str, str], call: list[str]) -> None:
    source, shards = folders
    fastload.shard_checkpoint(source, shards)
    one_line([{"SOURCE": source, "SHARDS": shards, "NEW": f"{shards}-new"}.get(word, word) for word in call])


def test_zero_shapes_are_loaded(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", {"a": torch.empty(0, 2**40), "b": torch.empty(3, 0)})
    fastload.shard_checkpoint(str(source), str(tmp_path / "s"))
    done = CliRunner().invoke(main, ["load", str(tmp_path / "s")])
    assert (done.exit_code, "2 tensors" in done.output) == (0, True)


def test_a_defect_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("odd\x1b[2J")

    monkeypatch.setattr("fastload.cli.read_manifest", fail)
    assert "This is a bug in fastload" in one_line(["inspect", str(tmp_path)])


def one_line(call: list[str]) -> str:
    """The call fails with a line that a terminal can show."""
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 1, done.output
    assert done.output.startswith("Error: ")
    assert done.output.removesuffix("\n").isprintable()
    return done.output
