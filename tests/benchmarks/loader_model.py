"""The checkpoint that the loaders load, and the plain copy that sharding is compared with."""

from __future__ import annotations

import json
import struct
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy

PART_BYTES = 8 << 20
_CONNECTIONS = 4
_HIDDEN, _INTERMEDIATE, _VOCABULARY, _KEY_VALUE = 2048, 8192, 128256, 512


def write_llama_1b(folder: Path, layers: int) -> int:
    """A checkpoint shaped like Llama-3.2-1B, random bf16 bits from a fixed seed; returns the file's size in
    bytes.
    """
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (_VOCABULARY, _HIDDEN)}
    for index in range(layers):
        prefix = f"model.layers.{index}."
        shapes |= {
            f"{prefix}input_layernorm.weight": (_HIDDEN,),
            f"{prefix}mlp.down_proj.weight": (_HIDDEN, _INTERMEDIATE),
            f"{prefix}mlp.gate_proj.weight": (_INTERMEDIATE, _HIDDEN),
            f"{prefix}mlp.up_proj.weight": (_INTERMEDIATE, _HIDDEN),
            f"{prefix}post_attention_layernorm.weight": (_HIDDEN,),
            f"{prefix}self_attn.k_proj.weight": (_KEY_VALUE, _HIDDEN),
            f"{prefix}self_attn.o_proj.weight": (_HIDDEN, _HIDDEN),
            f"{prefix}self_attn.q_proj.weight": (_HIDDEN, _HIDDEN),
            f"{prefix}self_attn.v_proj.weight": (_KEY_VALUE, _HIDDEN),
        }
    shapes["model.norm.weight"] = (_HIDDEN,)
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * int(numpy.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    folder.mkdir(parents=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": _HIDDEN,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "num_hidden_layers": layers,
        "tie_word_embeddings": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = numpy.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for start in range(0, end, PART_BYTES):
            file.write(generator.bytes(min(PART_BYTES, end - start)))
        return file.tell()


def copy_in_parts(bucket: str, model: str) -> None:
    """Move the weights' object from the store to the store: ranges read and parts written, four at a time."""
    import boto3
    from botocore.config import Config

    client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"))
    source = {"Bucket": bucket, "Key": f"{model}/model.safetensors"}
    target = {"Bucket": bucket, "Key": f"{model}-copy/model.safetensors"}
    size_bytes = client.head_object(**source)["ContentLength"]
    upload_id = client.create_multipart_upload(**target)["UploadId"]
    address = urlsplit(client.meta.endpoint_url)
    numbers = range(1, -(-size_bytes // PART_BYTES) + 1)
    part_urls = {
        number: client.generate_presigned_url(
            "upload_part", Params={**target, "PartNumber": number, "UploadId": upload_id}
        )
        for number in numbers
    }
    source_url = client.generate_presigned_url("get_object", Params=source)

    def work(first: int) -> None:
        connection = HTTPConnection(address.hostname or "", address.port)
        buffer = bytearray(PART_BYTES)
        for number in numbers[first::_CONNECTIONS]:
            start = (number - 1) * PART_BYTES
            view = memoryview(buffer)[: min(PART_BYTES, size_bytes - start)]
            connection.request("GET", source_url, headers={"Range": f"bytes={start}-{start + len(view) - 1}"})
            response, filled = connection.getresponse(), 0
            while filled < len(view):
                filled += response.readinto(view[filled:])
            response.read()
            connection.request(
                "PUT", part_urls[number], body=view, headers={"Content-Length": str(len(view))}
            )
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"part {number}: {response.status} {response.read()[:200]!r}")
            response.read()

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        list(pool.map(work, range(_CONNECTIONS)))
    # S3 joins parts at no cost; the server of the benchmark would copy them once more, which is not ours to
    # time.
    client.abort_multipart_upload(**target, UploadId=upload_id)
