"""The quantities that a bundle declares: how each is measured, and its value or the reason for none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyraseg.pipeline.bundle.metadata import BundleMetadata, DeclaredQuantity
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.records import Code, Quantity

__all__ = ["Measure", "Measured", "declared_measures", "measure_declared"]

Ends = tuple[tuple[float, float], ...]
Measured = float | str | tuple[float, Ends]  # a value, the reason for none, or a length with its ends


@dataclass(frozen=True)
class Measure:
    """How a quantity is measured: ``function`` gives a value, or the reason why there is none.

    In a frame a length comes with its ends (`Quantity.ends`).

    Attributes:
        unit: UCUM.
        roles: of the segments, in order.
        calibrated: for frames: whether it needs millimetres.
        image_unit: for volumes: the unit of the image that it needs; empty if it needs the label map alone.
        empty: for volumes: the value of a segment without voxels; None for no value.
        derivation: for a structured report, if the quantity's code does not say how it is measured.

    Example:
        >>> from pyraseg.pipeline.measurement import FRAME_MEASURES
        >>> FRAME_MEASURES["area"].unit
        'mm2'
    """

    function: Callable[[Any], Measured]
    unit: str
    roles: tuple[str, ...]
    calibrated: bool = False
    image_unit: str = ""
    empty: float | None = None
    derivation: Code | None = None


def declared_measures(
    declared: Iterable[Mapping[str, Any] | DeclaredQuantity], measures: Mapping[str, Measure]
) -> list[tuple[DeclaredQuantity, Measure]]:
    """The entries under "quantities" of a bundle's metadata.json, each with its measure.

    Raises:
        ConfigError: a malformed entry, a measure that is not in ``measures``, or a wrong number of segments.
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
    take: Callable[[Measure, tuple[str, ...]], Measured],
) -> tuple[Quantity, ...]:
    """Measure the declared quantities; ``take`` is called with a measure and its segments.

    No value is NaN or infinite: the reason stands in its place.
    """
    quantities = []
    for entry, how in declared_measures(declared, measures):
        unknown = [segment for segment in entry.segments if segment not in label_names]
        result = f"the label set has no {unknown[0]}" if unknown else take(how, entry.segments)
        result, ends = result if isinstance(result, tuple) else (result, ())
        if not isinstance(result, str) and not math.isfinite(result):
            result, ends = "its value is no finite number", ()
        value, reason = (None, result) if isinstance(result, str) else (float(result), "")
        shared = (entry.segments, entry.code, how.derivation, ends)
        quantities.append(Quantity(entry.name, value, how.unit, reason, *shared))
    return tuple(quantities)
