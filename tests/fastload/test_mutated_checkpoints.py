"""A checkpoint changed at random loads as safetensors itself reads it, or is refused with one sentence, by
every way of loading.

`python -m tests.fastload.test_mutated_checkpoints 2000` tries as many and counts what came of them.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import random
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import fastload
from fastload.destination import HostDestination
from fastload.errors import CheckpointError
from fastload.prefetch.plan import plan_load
from fastload.reader import Reader
from fastload.storage.store import open_store
from fastload.weight_files import INDEX_NAME, read_weights
from localaws.container import weights
from localaws.container.errors import ContainerError
from tests.fastload.checkpoints import bits, write_checkpoint

Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]
_ODD_VALUES: list[Any] = [
    *(
        -1,
        0,
        1,
        2,
        7,
        255,
        2**31,
        2**63,
        2**64,
        10**30,
        1.0,
        1e300,
        True,
        None,
        "",
        "F32",
        "U8",
        "F4",
        "F6_E2M3",
    ),
    *("F8_E8M0", "BF16", "I64", "X", "\ud800", [], [0], [2, 3], [-1, 4], [0, 0, 0], {}, {"a": 1}, [[[]]]),
]


def original(folder: Path, generator: random.Random) -> Path:
    """A small valid checkpoint of one to three files, scalars and empty tensors among its tensors."""
    torch.manual_seed(generator.randrange(2**31))
    tensors: dict[str, torch.Tensor] = {
        "a.weight": torch.randn(3, 5),
        "b.scale": torch.tensor(2.5),
        "c.empty": torch.empty(0, 4, dtype=torch.bfloat16),
        "d.packed": torch.randint(0, 255, (6, 2), dtype=torch.uint8),
        "e.long": torch.arange(3),
        "f.half": torch.randn(7, dtype=torch.float16),
    }
    return write_checkpoint(folder, tensors, {"architectures": ["Any"]}, files=generator.choice((1, 1, 2, 3)))


def mutate(folder: Path, generator: random.Random) -> str:
    """One change of a header, a file or the index; returns what it was."""
    change = generator.choice(_CHANGES)
    change(folder, generator)
    return change.__name__


def _a_file(folder: Path, generator: random.Random) -> Path:
    return generator.choice(sorted(folder.glob("*.safetensors")))


def _header_and_data(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _write(path: Path, header: bytes, data: bytes) -> None:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def header_value(folder: Path, generator: random.Random) -> None:
    path = _a_file(folder, generator)
    header, data = _header_and_data(path)
    name = generator.choice(sorted(header))
    member = generator.choice(["dtype", "shape", "data_offsets", "odd"])
    if name == "__metadata__" or generator.random() < 0.1:
        header[name] = generator.choice(_ODD_VALUES)
    elif member in ("shape", "data_offsets") and header[name][member] and generator.random() < 0.7:
        values = header[name][member]
        position = generator.randrange(len(values))
        delta = generator.choice([-4, -1, 1, 4, 2**32])
        values[position] = generator.choice([*_ODD_VALUES, values[position] + delta])
    else:
        header[name][member] = generator.choice(_ODD_VALUES)
    _write(path, json.dumps(header).encode(), data)


def header_entry(folder: Path, generator: random.Random) -> None:
    path = _a_file(folder, generator)
    header, data = _header_and_data(path)
    name = generator.choice(sorted(header))
    kind = generator.choice(["remove", "shift", "rename", "metadata", "swap", "twice", "reorder"])
    if kind == "remove":
        del header[name]
    elif kind == "shift" and name != "__metadata__":
        delta = generator.choice([-4, -1, 1, 4])  # over its neighbour, or away from it
        header[name]["data_offsets"] = [offset + delta for offset in header[name]["data_offsets"]]
        data += bytes(max(0, generator.choice([0, delta])))
    elif kind == "rename":
        header[generator.choice(["", "a.weight", "x\0y", "\x1b[2J", "ü"])] = header.pop(name)
    elif kind == "metadata":
        header["__metadata__"] = generator.choice([{"format": "pt"}, {}, None, {"a": 1}, []])
    elif kind == "swap":
        other = generator.choice(sorted(header))
        header[name], header[other] = header[other], header[name]
    elif kind == "reorder":
        header = dict(sorted(header.items(), reverse=True))
    text = json.dumps(header)
    if kind == "twice":
        text = text[:-1] + f", {json.dumps(name)}: {json.dumps(header[name])}}}"
    _write(path, text.encode() + b" " * generator.randrange(3), data)


def header_bytes(folder: Path, generator: random.Random) -> None:
    path = _a_file(folder, generator)
    content = bytearray(path.read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    position = generator.randrange(end)
    content[position] = generator.randrange(256)
    path.write_bytes(content)


def header_length(folder: Path, generator: random.Random) -> None:
    path = _a_file(folder, generator)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    other = generator.choice([0, 1, length - 1, length + 1, length + 8, 2**31, 2**63, 2**64 - 1, 10**8 + 1])
    path.write_bytes(struct.pack("<Q", other) + content[8:])


def file_size(folder: Path, generator: random.Random) -> None:
    path = _a_file(folder, generator)
    content = path.read_bytes()
    cut = generator.randrange(len(content))
    kept = generator.choice([content[:cut], content[:-1], content + bytes(1), content * 2, b""])
    path.write_bytes(kept)


def file_content(folder: Path, generator: random.Random) -> None:
    path = _a_file(folder, generator)
    content = bytearray(path.read_bytes())
    kind = generator.choice(["data", "pointer", "noise", "nested"])
    if kind == "data":
        content[-1] ^= 255
    elif kind == "pointer":
        content = bytearray(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    elif kind == "noise":
        content = bytearray(generator.randbytes(200))
    else:
        nested = b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
        content = bytearray(struct.pack("<Q", len(nested)) + nested)
    path.write_bytes(content)


def files_of_the_folder(folder: Path, generator: random.Random) -> None:
    path = _a_file(folder, generator)
    kind = generator.choice(["remove", "copy", "swap", "rename"])
    names = [
        "consolidated.safetensors",
        "adapter_model.safetensors",
        "model.safetensors",
        "extra.safetensors",
    ]
    if kind == "remove":
        path.unlink()
    elif kind == "copy":
        shutil.copy(path, folder / "copy")
        (folder / "copy").rename(folder / generator.choice(names))
    elif kind == "rename":
        path.rename(folder / generator.choice([*names, "model-00001-of-00009.safetensors"]))
    else:
        other = _a_file(folder, generator)
        one, two = path.read_bytes(), other.read_bytes()
        path.write_bytes(two)
        other.write_bytes(one)


def index(folder: Path, generator: random.Random) -> None:
    path = folder / INDEX_NAME
    document = json.loads(path.read_text()) if path.exists() else {"weight_map": {}}
    weight_map = document["weight_map"]
    kind = generator.choice(["remove", "entry", "value", "add", "noise", "nested", "no map"])
    name = generator.choice(sorted(weight_map)) if weight_map else "a.weight"
    present = sorted(file.name for file in folder.iterdir())
    other = generator.choice([*present, "gone.safetensors", "../x.safetensors", 1])
    if kind == "remove":
        path.unlink(missing_ok=True)
        return
    if kind == "entry":
        weight_map.pop(name, None)
    elif kind == "value":
        weight_map[name] = other
    elif kind == "add":
        weight_map["another"] = other
    elif kind == "no map":
        document = generator.choice([{}, [], {"weight_map": []}, {"weight_map": {}}, 1])
    text = {"noise": "{", "nested": "[" * 5000}.get(kind) or json.dumps(document)
    path.write_text(text)


_CHANGES: list[Callable[[Path, random.Random], None]] = [
    *(header_value, header_value, header_entry, header_entry, header_bytes, header_bytes, header_length),
    *(file_size, file_content, files_of_the_folder, index),
]


def as_facts(tensors: dict[str, torch.Tensor]) -> Tensors:
    return {name: (str(t.dtype), tuple(t.shape), bits(t)) for name, t in tensors.items()}


def by_shards(folder: Path) -> Tensors:
    with tempfile.TemporaryDirectory() as shards:
        fastload.shard_checkpoint(str(folder), shards)
        with fastload.open_stream(shards, connections=2) as stream:
            return as_facts(stream.tensors())


def by_standard_path(folder: Path) -> Tensors:
    with contextlib.redirect_stdout(io.StringIO()):
        return as_facts(weights.load_from_disk(folder, torch.device("cpu")))


def by_pieces(folder: Path) -> Tensors:
    store = open_store(str(folder))
    plan = plan_load(store)
    memory = HostDestination(plan.size_bytes)
    Reader(store, plan.pieces, memory, 2, advice="Upload again.").run()
    read = {file: load_file(folder / file) for file in plan.files}
    expected = {name: tensor for tensors in read.values() for name, tensor in tensors.items()}
    found: Tensors = {}
    for tensor in plan.tensors:
        size_bytes = expected[tensor.name].nbytes
        view = bytes(memory.claim(tensor.offset_bytes, size_bytes))
        own = expected[tensor.name]
        found[tensor.name] = str(own.dtype), tuple(own.shape), view
    return found


def outcome(load: Callable[[Path], Tensors], folder: Path) -> Tensors | str:
    """The tensors, or the sentence of a refusal; any other error is a defect."""
    try:
        return load(folder)
    except (CheckpointError, ContainerError) as error:
        return str(error)


def try_one(seed: int) -> str:
    """Mutate a checkpoint and load it every way; returns what came of it."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = original(Path(scratch) / "m", generator)
        changes = [mutate(folder, generator)]
        outcomes = [outcome(load, folder) for load in (by_shards, by_standard_path, by_pieces)]
        context = f"seed {seed}, {changes}: {[o if isinstance(o, str) else sorted(o) for o in outcomes]}"
        first = outcomes[0]
        assert all(other == first for other in outcomes), context
        if isinstance(first, str):
            assert first.isprintable(), context
            return "refused"
        names = read_weights(folder).files
        expected = {k: v for name in names for k, v in load_file(folder / name).items()}
        assert first == as_facts(expected), context
        return "loaded"


@pytest.mark.parametrize("block", range(6))
def test_a_mutated_checkpoint_loads_as_safetensors_reads_it_or_is_refused(block: int) -> None:
    results = collections.Counter(try_one(seed) for seed in range(block * 50, block * 50 + 50))
    assert results["refused"]
    assert results["loaded"]


if __name__ == "__main__":
    print(dict(collections.Counter(try_one(seed) for seed in range(int(sys.argv[1])))))
