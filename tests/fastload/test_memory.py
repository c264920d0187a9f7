"""Memory: bounded while sharding whatever the model's size, and no second copy while streaming."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fastload.memory import address_of, allocate
from tests.fastload.checkpoints import LLAMA_CONFIG
from tests.peak_memory import PEAK_MEMORY_BYTES as _PEAK

_MIB = 1 << 20


def sparse_llama(folder: Path, rows: int) -> Path:
    """A checkpoint of 16 down_proj matrices [rows, 8192] in bf16; a sparse file, so that writing it costs
    nothing.
    """
    header, end = {}, 0
    for index in range(16):
        start, end = end, end + rows * 8192 * 2
        name = f"model.layers.{index}.mlp.down_proj.weight"
        header[name] = {"dtype": "BF16", "shape": [rows, 8192], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA_CONFIG))
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return folder


@pytest.mark.parametrize("degree", [pytest.param(1, marks=pytest.mark.slow), 8])
def test_sharding_stays_under_512_mib(tmp_path: Path, degree: int) -> None:
    source = sparse_llama(tmp_path / "m", rows=4096)  # 1 GiB
    program = (
        f"import fastload; fastload.shard_checkpoint({str(source)!r}, {str(tmp_path / 's')!r},"
        f" tensor_parallel_degree={degree}); print({_PEAK})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 512 * _MIB


def test_streaming_takes_little_more_than_the_weights(tmp_path: Path) -> None:
    source = sparse_llama(tmp_path / "m", rows=1024)  # 256 MiB
    shard = f"import fastload; fastload.shard_checkpoint({str(source)!r}, {str(tmp_path / 's')!r})"
    subprocess.run([sys.executable, "-c", shard], check=True)
    program = (
        f"import fastload; before = {_PEAK};"
        f"stream = fastload.open_stream({str(tmp_path / 's')!r}); stream.statistics;"
        f"print({_PEAK} - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 256 * _MIB * 1.10


def test_a_buffer_begins_on_a_huge_page() -> None:
    assert address_of(allocate(1)) % (2 * _MIB) == 0
