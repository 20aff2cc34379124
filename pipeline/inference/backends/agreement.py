"""Load an exported network into a library, once it gives torch's classes there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyraseg.pipeline.inference.backends.base import ExportedNetwork, Runtime, Setting, precision
from pyraseg.pipeline.inference.backends.export import entry, onnx_file, read_facts, write_facts
from pyraseg.pipeline.inference.ensemble import Ensemble
from pyraseg.transforms.errors import ConfigError

__all__ = ["BAR", "Agreement", "class_agreement", "load_exported", "smooth_images"]

BAR = 0.999  # share of the pixels


@dataclass(frozen=True)
class Agreement:
    """Shares of pixels with the class that torch gives them in float32.

    Attributes:
        exported: of the export in float32; it shows faults of the export.
        working: of the export in the type that it computes in.
        torch: of torch in that type: the cost of the type itself.
    """

    exported: float
    working: float
    torch: float

    @property
    def holds(self) -> bool:
        """99.9 % in float32; in the working type too, unless torch there changes half as many pixels."""
        return self.exported >= BAR and 1 - self.working <= max(1 - BAR, 2 * (1 - self.torch))


def smooth_images(shape: Sequence[int], *, seed: int = 0) -> Tensor:
    """Three images (3, C, H, W[, D]) of fixed smooth noise in [0, 1], from large spots to small ones."""
    generator = torch.Generator().manual_seed(seed)
    mode = "bilinear" if len(shape) == 3 else "trilinear"
    images = []
    for cells in (4, 8, 16):
        noise = torch.rand(1, shape[0], *[cells] * (len(shape) - 1), generator=generator)
        images.append(functional.interpolate(noise, size=tuple(shape[1:]), mode=mode, align_corners=False))
    return torch.cat(images)


def class_agreement(first: Tensor, second: Tensor) -> float:
    """The share of pixels with the same class in both scores (B, K, H, W[, D])."""
    return (first.argmax(1) == second.argmax(1)).double().mean().item()


def load_exported(network: nn.Module, runtime: Runtime, setting: Setting) -> nn.Module:
    """A module that computes in ``runtime`` what ``network``, or each member of an `Ensemble`, does in torch.

    Args:
        network: in evaluation mode, on the CPU; unchanged.

    Raises:
        ConfigError: the library is not installed, the network cannot be exported or loaded, or the library
            gives other classes than torch.
    """
    if not runtime.installed:
        remedy = f'Install it: pip install "{runtime.requirement}"; or use --backend torch.'
        raise ConfigError(f"the library {runtime.name}", found="it is not installed", remedy=remedy)
    setting = replace(setting, dtype=runtime.dtype(setting))
    if not isinstance(network, Ensemble):
        return _load(network, runtime, setting, member=0)
    return Ensemble([_load(part, runtime, setting, member=n) for n, part in enumerate(network.members)])


def _load(network: nn.Module, runtime: Runtime, setting: Setting, *, member: int) -> ExportedNetwork:
    """Load one network; measure its agreement with torch once and keep it beside the export."""
    folder = entry(network, setting, member=member)
    name = f"{runtime.name}-{runtime.version}-{precision(setting.dtype)}.json"
    note = None if folder is None else folder / name
    with onnx_file(network, shape=setting.shape, folder=folder) as path:
        working = ExportedNetwork(runtime.load(path, setting), setting.shape)
        facts = read_facts(note)
        if not facts:
            facts = asdict(_measure(network, working, runtime, setting, path))
            write_facts(note, facts)
    agreement = Agreement(**facts)
    if not agreement.holds:
        share = f"{min(agreement.exported, agreement.working):.2%}"
        remedy = "Use --backend torch" + (", or --amp false." if agreement.exported >= BAR else ".")
        wanted = f"torch's class in {BAR:.1%} of the pixels"
        raise ConfigError(wanted, found=f"{share} by {runtime.name}", remedy=remedy)
    return working


def _measure(
    network: nn.Module, working: nn.Module, runtime: Runtime, setting: Setting, path: Path
) -> Agreement:
    """Compare on three smooth images; ``working`` computes in the setting's type."""
    exported, dtype = working, setting.dtype
    if dtype is not None:
        exported = ExportedNetwork(runtime.load(path, replace(setting, dtype=None)), setting.shape)
    images = smooth_images(setting.shape)
    with torch.inference_mode():
        wanted = network(images)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            rounded = network(images)
        whole, single = exported(images), exported(images[:1])  # also a batch of another size
        return Agreement(
            exported=min(class_agreement(whole, wanted), class_agreement(single, wanted[:1])),
            working=class_agreement(working(images), wanted),
            torch=class_agreement(rounded, wanted),
        )
