"""The quantities that a bundle declares: how each is measured, its value, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyraseg.pipeline.bundle.metadata import BundleMetadata, DeclaredQuantity
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.records import Code, Quantity

__all__ = ["Measure", "declared_measures", "measure_declared"]


@dataclass(frozen=True)
class Measure:
    """How a quantity is measured: ``function`` gives a value or the reason why there is none.

    Attributes:
        unit: UCUM.
        roles: what the segments are, in order.
        calibrated: of frames: whether it needs millimetres.
        image_unit: of volumes: the image's unit that it needs; empty: it is taken on the label map alone.
        empty: of volumes: the value where the segment has no voxel; None: there is none.
        derivation: for a structured report, where the quantity's code names what is measured and not how.
    """

    function: Callable[[Any], float | str]
    unit: str
    roles: tuple[str, ...]
    calibrated: bool = False
    image_unit: str = ""
    empty: float | None = None
    derivation: Code | None = None


def declared_measures(
    declared: Iterable[Mapping[str, Any] | DeclaredQuantity], measures: Mapping[str, Measure]
) -> list[tuple[DeclaredQuantity, Measure]]:
    """The entries under "quantities" of a bundle's metadata.json, with how each is measured.

    Raises:
        ConfigError: a malformed entry, a measure that is none of ``measures``, or another number of segments
            than it takes.
    """
    pairs = []
    for entry in BundleMetadata.from_mapping({"quantities": list(declared)}).quantities:
        remedy = f'Correct the quantity "{entry.name}" in the bundle\'s configs/metadata.json.'
        how = measures.get(entry.measure)
        if how is None:
            wanted = f"a measure among {', '.join(measures)}"
            raise ConfigError(wanted, found=f'"{entry.measure}"', remedy=remedy)
        if len(entry.segments) != len(how.roles):
            wanted = f"{len(how.roles)} segments ({', '.join(how.roles)}) for {entry.measure}"
            raise ConfigError(wanted, found=f"{len(entry.segments)}", remedy=remedy)
        pairs.append((entry, how))
    return pairs


def measure_declared(
    declared: Iterable[Mapping[str, Any] | DeclaredQuantity],
    measures: Mapping[str, Measure],
    *,
    label_names: Sequence[str],
    take: Callable[[Measure, tuple[str, ...]], float | str],
) -> tuple[Quantity, ...]:
    """Measure what is declared; ``take`` is called with a measure and its segments, all in the label set."""
    quantities = []
    for entry, how in declared_measures(declared, measures):
        unknown = [segment for segment in entry.segments if segment not in label_names]
        result = f"the label set has no {unknown[0]}" if unknown else take(how, entry.segments)
        value, reason = (None, result) if isinstance(result, str) else (float(result), "")
        quantity = Quantity(entry.name, value, how.unit, reason, entry.segments, entry.code, how.derivation)
        quantities.append(quantity)
    return tuple(quantities)
