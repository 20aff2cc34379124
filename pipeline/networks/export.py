"""A network as a graph of torch's (``.pt2``), which loads without pickle and without this package."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

__all__ = ["export_program", "free_dimensions"]

EXAMPLE_SIZE = 64  # pixels per axis
BATCH = 2  # a dimension of 1 would be exported as the constant 1


def export_program(network: nn.Module, example: Tensor) -> tuple[ExportedProgram, Tensor]:
    """Export ``network`` in evaluation mode; the network does not change.

    The batch is free; so are height, width and depth where the graph allows it. No place of a file is kept.

    Args:
        network: on the CPU, (B, C, H, W[, D]) -> (B, K, H, W[, D]).
        example: an input of the right shape; its values are not used.

    Returns:
        The program, and zeros as its example: small ones where the size is free.

    Raises:
        RuntimeError, ValueError, TypeError: torch cannot export this network.

    >>> program, x = export_program(nn.Conv2d(1, 2, 3, padding=1), torch.zeros(1, 1, 96, 128))
    >>> free_dimensions(program), program.module()(torch.zeros(1, 1, 20, 30)).shape
    ((0, 2, 3), torch.Size([1, 2, 20, 30]))
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    batch, (channels, *size) = max(len(example), BATCH), example.shape[1:]
    everything = (0, *range(2, example.dim()))
    small = torch.zeros((batch, channels, *(min(pixels, EXAMPLE_SIZE) for pixels in size)))
    try:
        program = torch.export.export(
            network, (small,), dynamic_shapes=(dict.fromkeys(everything, Dim.AUTO),)
        )
    except (RuntimeError, ValueError):
        program = None
    if program is not None and free_dimensions(program) == everything:
        return _without_places(program), small
    whole = torch.zeros((batch, channels, *size))
    program = torch.export.export(network, (whole,), dynamic_shapes=({0: Dim.AUTO},))
    return _without_places(program), whole


def free_dimensions(program: ExportedProgram) -> tuple[int, ...]:
    """The free dimensions: export silently turns others into the example's constants."""
    inputs = program.graph_signature.user_inputs
    (shape,) = (node.meta["val"].shape for node in program.graph.nodes if node.name in inputs)
    return tuple(dim for dim, size in enumerate(shape) if not isinstance(size, int))


def _without_places(program: ExportedProgram) -> ExportedProgram:
    """Remove the traceback with full paths that each node of the graph carries."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program
