"""Which DICOM objects a bundle takes, as ``prediction`` in its metadata declares it, and why others are left
out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydicom.uid import RE_VALID_UID, UID, UID_dictionary

from pyraseg.pipeline.prediction.items.quality import Review
from pyraseg.transforms.dicom.files.objects import ObjectHeader
from pyraseg.transforms.dicom.pixels.checks import code_text
from pyraseg.transforms.errors import ConfigError

__all__ = ["LEAVE_OUT", "AcceptanceRules", "read_rules"]

UNITS = ("file", "series")
KEYS = ("unit", "modalities", "sop_classes", "leave_out", "key_frame", "review", "trained_on")
REVIEW_KEYS = ("low_confidence", "expected", "area_mm2", "volume_ml", "colour_fraction")
SCOUTS = {"LOCALIZER", "SCOUT", "TOPOGRAM"}  # as vendors name localizers in Image Type
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DIRECTORY = "1.2.840.10008.1.3.10"
# Region Spatial Format and Region Data Type (PS3.3 C.8.5.5.1.1, C.8.5.5.1.2)
FORMAT_2D, FORMAT_M_MODE, FORMAT_SPECTRAL, COLOUR_FLOW = 1, 2, 3, 2
TRACES = {"m_mode", "colour_m_mode", "cw_doppler", "pw_doppler"}


def _colour_doppler(header: ObjectHeader) -> bool:
    """Ultrasound Color Data Present (0028,0014) is no proof: B-mode with a coloured ECG trace has 1 as
    well."""
    flow = any(region.data_type == COLOUR_FLOW for region in header.regions)
    return flow or bool(header.modes & {"colour_doppler", "power_doppler"})


def _without_tissue(header: ObjectHeader) -> bool:
    """M-mode or a spectrum and no two-dimensional picture beside it; regions of waves and bars alone prove
    nothing."""
    formats = {region.spatial_format for region in header.regions}
    by_mode = bool(header.modes & TRACES) and "2d" not in header.modes
    return FORMAT_2D not in formats and (by_mode or bool(formats & {FORMAT_M_MODE, FORMAT_SPECTRAL}))


def _rendering(header: ObjectHeader) -> bool:
    return "3d_rendering" in header.modes


def _localizer(header: ObjectHeader) -> bool:
    return bool(SCOUTS & {value.upper() for value in header.image_type})


# What a bundle may name under "leave_out": the test on the header, and the reason to give.
LEAVE_OUT: Mapping[str, tuple[Callable[[ObjectHeader], bool], str]] = MappingProxyType(
    {
        "colour_doppler": (_colour_doppler, "colour Doppler"),
        "without_tissue": (_without_tissue, "M-mode or a Doppler spectrum, no 2D image"),
        "3d_rendering": (_rendering, "a 3D rendering"),
        "localizer": (_localizer, "a localizer"),
    }
)


@dataclass(frozen=True)
class AcceptanceRules:
    """What a bundle takes.

    Attributes:
        unit: what an item is: "file", a single frame or a cine; "series", the slices of a volume.
        modalities: (0008,0060), such as "US".
        sop_classes: their UIDs and names, retired ones too.
        leave_out: names of `LEAVE_OUT`.
        key_frame: the class whose largest area decides which frame of a cine stands for it; None for all
            together.
        review: the thresholds of the review flags.
        trained_on: a sentence on what the model was trained on, which reports repeat.
    """

    unit: str
    modalities: tuple[str, ...]
    sop_classes: Mapping[str, str]
    leave_out: tuple[str, ...] = ()
    key_frame: str | None = None
    review: Review = field(default_factory=Review)
    trained_on: str = ""

    @property
    def volumes(self) -> bool:
        """Whether items are series."""
        return self.unit == "series"

    def reason(self, header: ObjectHeader) -> str | None:
        """Why this object is none for the bundle; None where it is one. It holds no text of the patient's."""
        uid, modality = header.sop_class_uid, header.modality
        if uid == SECONDARY_CAPTURE or uid.startswith(f"{SECONDARY_CAPTURE}."):
            return "a secondary capture"
        if uid not in self.sop_classes:
            return self._other_class(uid, modality)
        if modality and modality not in self.modalities:
            return f"modality {code_text(modality)}"
        names = (*self.leave_out, *(["localizer"] if self.volumes else []))  # which is no slice of a volume
        return next((LEAVE_OUT[name][1] for name in names if LEAVE_OUT[name][0](header)), None)

    def _other_class(self, uid: str, modality: str) -> str | None:
        if uid == DIRECTORY:
            return "a DICOMDIR, which is an index"
        name = UID(uid).name if uid in UID_dictionary else ""
        if "Image" in name and modality and modality not in self.modalities:
            return f"modality {code_text(modality)}"
        if name:
            return f"another kind of object: {name}"
        return "a private or unknown SOP class" if uid else None  # without any, it is broken


def read_rules(metadata: Mapping[str, Any]) -> AcceptanceRules:
    """The rules in a bundle's ``metadata.json``.

    Raises:
        ConfigError: there are none, or a key or a value that is unknown.
    """
    declared = metadata.get("prediction")
    if not isinstance(declared, Mapping):
        raise _refusal('"prediction" in metadata.json: which objects the bundle takes', "none")
    _check_keys(declared, KEYS, "prediction")
    rules = AcceptanceRules(
        unit=_one_of(declared.get("unit"), UNITS, "unit"),
        modalities=_texts(declared, "modalities"),
        sop_classes=_sop_classes(declared.get("sop_classes")),
        leave_out=tuple(
            _one_of(name, tuple(LEAVE_OUT), "leave_out") for name in _texts(declared, "leave_out", ())
        ),
        key_frame=declared.get("key_frame"),
        review=_review(declared.get("review", {})),
        trained_on=_text(declared, "trained_on"),
    )
    _check_names(rules, [str(segment.get("name")) for segment in metadata.get("segments", ())])
    return rules


def _review(declared: Any) -> Review:
    if not isinstance(declared, Mapping):
        raise _refusal("review as a mapping", repr(declared))
    _check_keys(declared, REVIEW_KEYS, "review")
    return Review(
        low_confidence=_fraction(declared, "low_confidence"),
        expected=_texts(declared, "expected", ()),
        area_mm2=_sizes(declared, "area_mm2", "areas as [smallest, largest] in mm2"),
        volume_ml=_sizes(declared, "volume_ml", "volumes as [smallest, largest] in ml"),
        colour_fraction=_fraction(declared, "colour_fraction"),
    )


def _check_keys(declared: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := sorted(set(declared) - set(known)):
        raise _refusal(f"keys of {where} among {', '.join(known)}", f'"{unknown[0]}"')


def _check_names(rules: AcceptanceRules, segments: list[str]) -> None:
    """Refuse classes that the bundle has not, where it declares any: a misspelt one would never raise its
    flag."""
    review = rules.review
    named = {
        *review.expected,
        *review.area_mm2,
        *review.volume_ml,
        *([rules.key_frame] if rules.key_frame else []),
    }
    if segments and (unknown := sorted(named - set(segments))):
        raise _refusal(f"classes among {', '.join(segments)}", f'"{unknown[0]}"')


def _one_of(value: Any, known: tuple[str, ...], where: str) -> str:
    if value not in known:
        raise _refusal(f"{where} among {', '.join(known)}", repr(value))
    return str(value)


def _texts(declared: Mapping[str, Any], key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
    value = declared.get(key, default)
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) and text for text in value):
        raise _refusal(f"{key} as a list of texts", repr(value))
    if default is None and not value:
        raise _refusal(f"at least one of {key}", "none")
    return tuple(value)


def _text(declared: Mapping[str, Any], key: str) -> str:
    value = declared.get(key, "")
    if not isinstance(value, str):
        raise _refusal(f"{key} as a text", repr(value))
    return value.strip()


def _sop_classes(value: Any) -> dict[str, str]:
    if (
        not isinstance(value, Mapping)
        or not value
        or not all(re.match(RE_VALID_UID, str(uid)) for uid in value)
    ):
        raise _refusal("sop_classes as a mapping of UIDs to names", repr(value))
    return {str(uid): str(name) for uid, name in value.items()}


def _fraction(declared: Mapping[str, Any], key: str) -> float | None:
    value = declared.get(key)
    if value is not None and not (_is_number(value) and 0 <= value <= 1):
        raise _refusal(f"{key} from 0 to 1", repr(value))
    return None if value is None else float(value)


def _sizes(declared: Mapping[str, Any], key: str, wanted: str) -> dict[str, tuple[float, float]]:
    sizes = declared.get(key, {})
    if not isinstance(sizes, Mapping):
        raise _refusal(f"{key} as a mapping of classes", repr(sizes))
    return {str(name): _bounds(value, wanted) for name, value in sizes.items()}


def _bounds(value: Any, wanted: str) -> tuple[float, float]:
    if (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(map(_is_number, value))
        and 0 <= value[0] < value[1]
    ):
        return float(value[0]), float(value[1])
    raise _refusal(wanted, repr(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refusal(wanted: str, found: str) -> ConfigError:
    return ConfigError(
        wanted, found=found, remedy='Correct "prediction" in the bundle\'s configs/metadata.json.'
    )
