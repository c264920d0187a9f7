"""fastload: model weights from S3 to a device at the speed of the wire.

    stream = fastload.open_stream("s3://bucket/model-tp1/")      # bytes flow while the framework is imported
    model = build_model()
    model.load_state_dict(stream.tensors(), assign=True)

Importing this package imports neither torch nor boto3.
"""

from fastload.errors import FastloadError
from fastload.manifest import Manifest
from fastload.shard import ShardProgress, read_manifest, shard_checkpoint, source_digest
from fastload.stream import Stream, StreamStatistics, open_stream

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
