"""fastload: loads model weights from S3 to a device at the full rate of the network.

    stream = fastload.open_stream("s3://bucket/model-tp1/")      # bytes flow while the framework is imported
    model = build_model()
    model.load_state_dict(stream.tensors(), assign=True)

Importing this package imports neither torch nor boto3, and of itself only what a stream needs.
"""

from typing import TYPE_CHECKING, Any

from fastload.errors import FastloadError
from fastload.manifest import Manifest, read_manifest
from fastload.stream import Stream, StreamStatistics, open_stream

if TYPE_CHECKING:
    from fastload.shard import ShardProgress, shard_checkpoint, source_digest

__all__ = [
    "FastloadError",
    "Manifest",
    "ShardProgress",
    "Stream",
    "StreamStatistics",
    "open_stream",
    "read_manifest",
    "shard_checkpoint",
    "source_digest",
]


def __getattr__(name: str) -> Any:
    """Sharding is imported on first use: without it, a load starts 15 ms earlier."""
    if name in __all__:
        from fastload import shard

        return getattr(shard, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
