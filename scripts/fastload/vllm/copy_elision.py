"""Makes parameters views of the mapped memory instead of copies.

vLLM's weight loaders split, fuse and rename tensors, and finally call `Tensor.copy_`. In this mode, copies
from the mapped memory are recorded but not made. At the end, a parameter whose bytes all come from one
contiguous range of that memory, in order, becomes a view of it; all other recorded copies are made. Code that
reads a parameter is not affected, because every operation except a view first makes its operands' copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

# Below this size a copy costs less than a partly used page.
_LEAST_BYTES = 64 << 10


@dataclass(slots=True)
class _Target:
    """One parameter's storage: its start, its length, and the recorded copies into it."""

    start: int
    size_bytes: int
    copies: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    def make_copies(self) -> None:
        for destination, source in self.copies:
            destination.copy_(source)
        self.copies.clear()

    def source_start(self) -> int | None:
        """The offset of the same bytes in mapped memory; None unless the copies fill all of it, in order."""
        end = 0
        first: int | None = None
        for destination, source in sorted(self.copies, key=lambda copy: copy[0].data_ptr()):
            offset = destination.data_ptr() - self.start
            if offset != end or (first is not None and source.data_ptr() - offset != first):
                return None
            first = source.data_ptr() - offset
            end = offset + destination.nbytes
        return first if end == self.size_bytes else None


class ElidedCopies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The mode; on exit without an error every recorded copy is elided or made."""

    def __init__(self, model: nn.Module, memory: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memory = memory
        self._first, self._last = memory.data_ptr(), memory.data_ptr() + memory.nbytes
        self._parameters: dict[int, list[nn.Parameter]] = {}
        self._targets: dict[int, _Target] = {}
        for _, parameter in model.named_parameters(remove_duplicate=False):
            storage = parameter.untyped_storage()
            if storage.nbytes() >= _LEAST_BYTES and not any(
                parameter is other for other in self._parameters.get(storage.data_ptr(), ())
            ):
                self._parameters.setdefault(storage.data_ptr(), []).append(parameter)
        self.taken_bytes = 0

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        if kind is None:
            self._settle()
        self._targets.clear()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: Any = None
    ) -> Any:
        if function is torch.ops.aten.copy_.default and self._note(arguments[0], arguments[1]):
            return arguments[0]
        if self._targets and not _is_view(function):
            for tensor in _tensors((arguments, options)):
                target = self._targets.get(tensor.untyped_storage().data_ptr())
                if target is not None and tensor.numel():  # vLLM also fills padding, which is often empty
                    target.make_copies()
        return function(*arguments, **(options or {}))

    def summary(self) -> str:
        """A summary of the elided copies."""
        return f"{self.taken_bytes / 1e9:.2f} GB used without a copy"

    def _note(self, destination: torch.Tensor, source: torch.Tensor) -> bool:
        """Record a copy; returns False if it must be made immediately."""
        if source.nbytes < _LEAST_BYTES or not self._first <= source.data_ptr() < self._last:
            return False
        storage = destination.untyped_storage()
        is_alike = (
            destination.dtype == source.dtype
            and destination.shape == source.shape
            and destination.is_contiguous()
            and source.is_contiguous()
        )
        if not is_alike or storage.data_ptr() not in self._parameters:
            return False
        target = self._targets.setdefault(storage.data_ptr(), _Target(storage.data_ptr(), storage.nbytes()))
        if any(_overlap(destination, other) for other, _ in target.copies):
            target.make_copies()  # loaded twice: the second load overwrites the first
        target.copies.append((destination, source))
        return True

    def _settle(self) -> None:
        for start, target in self._targets.items():
            source_start = target.source_start()
            if source_start is None or not self._take(self._parameters[start], start, source_start):
                target.make_copies()
            else:
                self.taken_bytes += target.size_bytes

    def _take(self, parameters: list[nn.Parameter], start: int, source_start: int) -> bool:
        """Make every parameter of a storage a view of mapped memory; returns False if elements would not be
        aligned.
        """
        if any((source_start - self._first) % parameter.itemsize for parameter in parameters):
            return False
        for parameter in parameters:
            begin = source_start - self._first + parameter.storage_offset() * parameter.itemsize
            whole = self._memory[begin - begin % parameter.itemsize :]
            length = whole.nbytes // parameter.itemsize * parameter.itemsize
            typed = whole[:length].view(parameter.dtype)
            parameter.data = typed.as_strided(parameter.shape, parameter.stride(), typed.storage_offset())
        return True


def _overlap(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.data_ptr() < other.data_ptr() + other.nbytes and other.data_ptr() < one.data_ptr() + one.nbytes


def _is_view(function: Any) -> bool:
    """Whether an operation only returns another tensor on the same memory."""
    returns = function._schema.returns
    return bool(returns) and all(
        item.alias_info is not None and not item.alias_info.is_write for item in returns
    )


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
