"""The checkpoint that the loaders load, and the plain copy that sharding is compared with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from loadbench.run.models.synthetic import SHAPES, generate

PART_BYTES = 8 << 20
_CONNECTIONS = 4


def write_synthetic(name: str, folder: Path, layers: int | None = None) -> None:
    """The checkpoint `synthetic:<name>`, with fewer layers if asked."""
    shape = SHAPES[name]
    folder.mkdir(parents=True)
    generate(replace(shape, layers=layers or shape.layers), folder, lambda progress: None)


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
