"""Attributes of an object other than data and metadata: storage class, encryption, redirect, lock.

They are response headers of every later GET and HEAD, and are kept as such among an object's headers.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import AwsError
from ...protocol.service_models import service_model
from . import object_lock
from .model_xml import read_kept
from .operation_context import Storage, versioning
from .records import Object
from .request import S3Request

_CLASS = "x-amz-storage-class"
_ENCRYPTION = "x-amz-server-side-encryption"
_KMS_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
_BUCKET_KEY = "x-amz-server-side-encryption-bucket-key-enabled"
_REDIRECT = "x-amz-website-redirect-location"
# Classes of other kinds of buckets.
_FOREIGN_CLASSES = ("OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP")
_ALGORITHMS = ("AES256", "aws:kms", "aws:kms:dsse")


def stored_attributes(storage: Storage, request: S3Request) -> dict[str, str]:
    """The attributes of an object that this request writes, including the bucket's defaults."""
    return {
        **_storage_class(request.headers),
        **_encryption(storage, request),
        **_redirect(request.headers),
        **object_lock.of_new_object(storage, request),
    }


def changes_attributes(storage: Storage, request: S3Request, source: Object) -> bool:
    """Whether a copy to the same key is allowed: it sets an attribute or changes the encryption.

    A default encryption of the bucket counts as setting one.
    """
    if any(name in request.headers for name in (_CLASS, _ENCRYPTION, _REDIRECT)):
        return True
    has_default = storage.index.setting(request.bucket, "encryption") is not None
    return has_default or encryption_headers(source.headers)[_ENCRYPTION] != "AES256"


def metadata_of(found: Object) -> dict[str, str]:
    """The headers that a copy inherits: metadata, but no storage attributes."""
    return {
        name: value
        for name, value in found.headers.items()
        if name.startswith("x-amz-meta-") or not name.startswith("x-amz-")
    }


def encryption_headers(found: Mapping[str, str]) -> dict[str, str]:
    """The encryption reported by responses; the default is S3's own, as on AWS."""
    named = {name: found[name] for name in (_ENCRYPTION, _KMS_KEY, _BUCKET_KEY) if name in found}
    return named or {_ENCRYPTION: "AES256"}


def storage_class(found: Object) -> str:
    """The name of the storage class; the standard class is not stored."""
    return found.headers.get(_CLASS, "STANDARD")


def written(storage: Storage, made: Object) -> dict[str, str]:
    """The headers of the response to a write."""
    version = {"x-amz-version-id": made.version_id} if versioning(storage, made.bucket) == "Enabled" else {}
    return {**encryption_headers(made.headers), **version}


def _storage_class(headers: Mapping[str, str]) -> dict[str, str]:
    wanted = headers.get(_CLASS, "STANDARD")
    known = service_model("s3").shape_for("StorageClass").metadata["enum"]
    if wanted not in known or wanted in _FOREIGN_CLASSES:
        raise AwsError("InvalidStorageClass", "The storage class you specified is not valid")
    return {} if wanted == "STANDARD" else {_CLASS: wanted}


def _encryption(storage: Storage, request: S3Request) -> dict[str, str]:
    headers = request.headers
    algorithm = headers.get(_ENCRYPTION)
    if algorithm is None:
        if _KMS_KEY in headers:
            raise AwsError("InvalidArgument", f"{_KMS_KEY} needs {_ENCRYPTION} to be aws:kms.")
        return _default_encryption(storage, request)
    if algorithm not in _ALGORITHMS:
        raise AwsError("InvalidArgument", f"The encryption method {algorithm[:50]!r} is not supported")
    if algorithm == "AES256":
        if _KMS_KEY in headers:
            raise AwsError("InvalidArgument", f"{_KMS_KEY} does not go with AES256.")
        return {_ENCRYPTION: algorithm}
    named = {_ENCRYPTION: algorithm, _KMS_KEY: headers.get(_KMS_KEY) or _managed_key(request)}
    if headers.get(_BUCKET_KEY, "").lower() == "true":
        named[_BUCKET_KEY] = "true"
    return named


def _default_encryption(storage: Storage, request: S3Request) -> dict[str, str]:
    document = storage.index.setting(request.bucket, "encryption")
    if document is None:
        return {}
    payload = "ServerSideEncryptionConfiguration"
    rule = read_kept("PutBucketEncryption", payload, document)["Rules"][0]
    default = rule.get("ApplyServerSideEncryptionByDefault", {"SSEAlgorithm": "AES256"})
    if default["SSEAlgorithm"] == "AES256":
        return {_ENCRYPTION: "AES256"}
    key = default.get("KMSMasterKeyID") or _managed_key(request)
    bucket_key = {_BUCKET_KEY: "true"} if rule.get("BucketKeyEnabled") else {}
    return {_ENCRYPTION: default["SSEAlgorithm"], _KMS_KEY: key, **bucket_key}


def _managed_key(request: S3Request) -> str:
    call = request.call
    return f"arn:aws:kms:{call.region}:{call.emulator.account_id}:alias/aws/s3"


def _redirect(headers: Mapping[str, str]) -> dict[str, str]:
    target = headers.get(_REDIRECT)
    if target is None:
        return {}
    if not target.startswith(("/", "http://", "https://")):
        raise AwsError(
            "InvalidRedirectLocation",
            "The website redirect location must have a prefix of 'http://', 'https://' or '/'.",
        )
    return {_REDIRECT: target}
