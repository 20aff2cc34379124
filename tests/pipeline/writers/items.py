"""Items of a batch as the tables and the report take them: a calibrated frame with its quantities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyraseg.pipeline.writers.tables.item_records import FrameRecord, ItemRecord

__all__ = ["item"]


def item(
    case: str, frames: tuple[FrameRecord, ...], *, units: Mapping[str, str], **changes: Any
) -> ItemRecord:
    plain = ItemRecord(
        case=case,
        file="a/1.dcm",
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        sop_instance_uid="1.2.3.4.5",
        frames=len(frames),
        rows=480,
        columns=640,
        spacing_mm=(0.25, 0.5),
        spacing_source="regions",
        key_frame=0,
        units=units,
        rows_of_frames=frames,
        flags=(),
        notes=(),
        seconds=1.5,
        outputs=("seg.dcm", "overlay.png"),
        fingerprint="f",
        size=1,
        modified_ns=1,
    )
    return replace(plain, **changes)
