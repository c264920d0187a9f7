"""Tied weights: an output head that is the input embedding under a second name is stored once."""

from __future__ import annotations

from fastload.checkpoint import Checkpoint, SourceTensor
from fastload.storage.store import Store, read_range

_EMBEDDING = "model.embed_tokens.weight"
_HEAD = "lm_head.weight"
_PIECE_BYTES = 4 << 20


def find_aliases(store: Store, checkpoint: Checkpoint) -> dict[str, str]:
    """Second names, each with the name of the tensor it shares memory with.

    The head is an alias where config.json ties it and the checkpoint leaves it out, or where its bytes equal
    the embedding's. Two different matrices stay two, whatever config.json says.
    """
    tensors = {tensor.name: tensor for tensor in checkpoint.tensors}
    embedding, head = tensors.get(_EMBEDDING), tensors.get(_HEAD)
    if embedding is None:
        return {}
    if head is None:
        return {_HEAD: _EMBEDDING} if checkpoint.config.get("tie_word_embeddings") is True else {}
    same_form = (embedding.dtype, embedding.shape) == (head.dtype, head.shape)
    return {_HEAD: _EMBEDDING} if same_form and _same_bytes(store, embedding, head) else {}


def _same_bytes(store: Store, one: SourceTensor, other: SourceTensor) -> bool:
    """Compare piece by piece; untied matrices differ in the first one, tied ones are read to the end."""
    session = store.session()
    pieces = memoryview(bytearray(_PIECE_BYTES)), memoryview(bytearray(_PIECE_BYTES))
    try:
        for start in range(0, one.size_bytes, _PIECE_BYTES):
            length = min(_PIECE_BYTES, one.size_bytes - start)
            read_range(session, one.file, one.start_bytes + start, pieces[0][:length])
            read_range(session, other.file, other.start_bytes + start, pieces[1][:length])
            if pieces[0][:length] != pieces[1][:length]:
                return False
    finally:
        session.close()
    return True
