"""From tensors to a model that can generate. Both loading paths build it here, in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import lines
from .errors import ContainerError
from .options import Options

if TYPE_CHECKING:
    import torch


def pick_device() -> torch.device:
    """The first GPU, or the CPU."""
    import torch

    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def skeleton(config: Any) -> Any:
    """The model's modules without any memory behind them; made while the weights are still on their way.

    Raises ContainerError if the architecture is not one that transformers serves.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ContainerError(
            f"transformers has no text generation model for this config.json: {error}"
        ) from error


def parameter_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, tied ones under each of their names."""
    return {name: tuple(value.shape) for name, value in model.named_parameters(remove_duplicate=False)}


def fill(model: Any, tensors: dict[str, torch.Tensor], options: Options, device: torch.device) -> torch.dtype:
    """Make these tensors the model's own; nothing is copied unless the data type changes.

    Gives the data type. Raises ContainerError if a parameter is missing.
    """
    dtype = serving_dtype(options, tensors, device)
    for name in tensors:
        if tensors[name].is_floating_point() and tensors[name].dtype != dtype:
            tensors[name] = tensors[name].to(dtype)
    unexpected = model.load_state_dict(tensors, strict=False, assign=True).unexpected_keys
    if unexpected:
        lines.worker_line(
            f"{len(unexpected)} tensors are not part of {type(model).__name__}: {unexpected[0]} ..."
        )
    model.tie_weights()
    _fill_computed_buffers(model, device)
    empty = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if empty:
        raise ContainerError(
            f"the model data lacks {len(empty)} parameters of {type(model).__name__}: {empty[0]} ..."
        )
    return dtype


def serving_dtype(options: Options, tensors: dict[str, torch.Tensor], device: torch.device) -> torch.dtype:
    """The data type to serve in: the one asked for, except fp16 on a CPU, which few CPUs can compute in."""
    import torch

    stored = next((tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()), torch.float32)
    asked: torch.dtype = stored if options.dtype == "auto" else getattr(torch, options.dtype)
    if asked == torch.float16 and device.type == "cpu" and asked != stored:
        lines.worker_line(f"dtype float16 was asked for; serving in the checkpoint's {stored} on this CPU")
        return stored
    return asked


def _fill_computed_buffers(model: Any, device: torch.device) -> None:
    """Give the buffers that no checkpoint holds (rotary frequencies, for example) their values.

    They were made on the meta device with everything else. transformers' own `_init_weights` computes them,
    because `from_pretrained` builds models in the same way.
    """
    for module in model.modules():
        if any(buffer.is_meta for buffer in module.buffers(recurse=False)):
            module.to_empty(device=device, recurse=False)
            model._init_weights(module)
