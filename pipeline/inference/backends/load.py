"""A network, or each member of an ensemble, loaded into a library once it is known to compute the same
there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from pyraseg.pipeline.inference.backends.agreement import BAR, Agreement, measure_agreement
from pyraseg.pipeline.inference.backends.base import ExportedNetwork, Runtime, Setting, precision
from pyraseg.pipeline.inference.backends.cache import read_facts, write_facts
from pyraseg.pipeline.inference.backends.export import entry, onnx_file
from pyraseg.pipeline.inference.ensemble import Ensemble
from pyraseg.transforms.errors import ConfigError

__all__ = ["load_exported"]


def load_exported(network: nn.Module, runtime: Runtime, setting: Setting) -> nn.Module:
    """A module that computes in ``runtime`` what ``network`` computes in torch; an ``Ensemble`` for an
    ensemble.

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
    folder = entry(network, setting, member=member)
    with onnx_file(network, shape=setting.shape, folder=folder) as path:
        working = ExportedNetwork(runtime.load(path, setting), setting.shape)
        _require_agreement(network, working, runtime, setting, path=path, folder=folder)
    return working


def _require_agreement(
    network: nn.Module,
    working: ExportedNetwork,
    runtime: Runtime,
    setting: Setting,
    *,
    path: Path,
    folder: Path | None,
) -> None:
    """Compare with torch, once for each export, library and type; the outcome lies beside the export."""
    note = (
        None
        if folder is None
        else folder / f"{runtime.name}-{runtime.version}-{precision(setting.dtype)}.json"
    )
    known = read_facts(note)
    if known.keys() != {"exported", "working", "torch"}:
        full = replace(setting, dtype=None)
        exported = (
            working if setting.dtype is None else ExportedNetwork(runtime.load(path, full), setting.shape)
        )
        found = measure_agreement(
            network, exported=exported, working=working, dtype=setting.dtype, shape=setting.shape
        )
        write_facts(note, known := found.facts())
    agreement = Agreement(**known)
    if agreement.holds:
        return
    shares = f"{min(agreement.exported, agreement.working):.2%}"
    remedy = "Use --backend torch" + (", or --amp false." if agreement.exported >= BAR else ".")
    raise ConfigError(
        f"torch's class in {BAR:.1%} of the pixels", found=f"{shares} by {runtime.name}", remedy=remedy
    )
