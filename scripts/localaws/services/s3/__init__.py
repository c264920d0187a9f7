"""The object store: S3's interface over files in the state folder."""

from .index import Index
from .post_form import is_form, read_form_upload
from .service import ObjectStore

__all__ = ["Index", "ObjectStore", "is_form", "read_form_upload"]
