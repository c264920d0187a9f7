"""JSON Patch (RFC 6902), as Cloud Control's UpdateResource takes it: the library, with one kind of error."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from ..errors import LocalAwsError


class PatchError(LocalAwsError):
    """A patch that is malformed or does not fit the document."""


def apply(patch: Any, document: Any) -> Any:
    """A patched copy of the document. Raises PatchError; then nothing is patched."""
    if not isinstance(patch, list) or not all(isinstance(step, dict) for step in patch):
        raise PatchError("a JSON patch is a list of operations, each an object with a path")
    try:
        return jsonpatch.apply_patch(document, patch)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise PatchError(str(error)) from error
    except (TypeError, AttributeError, KeyError, IndexError) as error:
        # What the library does not check itself: paths that are no text, steps into a number.
        raise PatchError(f"the patch does not fit the document: {error!r}") from error
