"""The object store: S3's interface over files in the state folder."""

from .index import Index
from .service import ObjectStore

__all__ = ["Index", "ObjectStore"]
