"""Which DICOM objects a bundle accepts, by ``prediction`` in its metadata, and why others are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pyraseg.pipeline.bundle.metadata import BundleMetadata, DeclaredPrediction
from pyraseg.transforms.dicom.files.objects import ObjectHeader, is_localizer, other_class
from pyraseg.transforms.dicom.pixels.checks import code_text, is_secondary_capture
from pyraseg.transforms.errors import ConfigError

__all__ = ["LEAVE_OUT", "AcceptanceRules", "read_rules"]

# Region Spatial Format and Region Data Type (PS3.3 C.8.5.5.1.1, C.8.5.5.1.2)
FORMAT_2D, FORMAT_M_MODE, FORMAT_SPECTRAL, COLOUR_FLOW = 1, 2, 3, 2
TRACES = {"m_mode", "colour_m_mode", "cw_doppler", "pw_doppler"}


def _colour_doppler(header: ObjectHeader) -> bool:
    """Ultrasound Color Data Present (0028,0014) is not enough: a coloured ECG trace on B-mode sets it too."""
    flow = any(region.data_type == COLOUR_FLOW for region in header.regions)
    return flow or bool(header.modes & {"colour_doppler", "power_doppler"})


def _without_tissue(header: ObjectHeader) -> bool:
    """M-mode or a spectrum without a 2D picture; regions of waves and bars alone prove nothing."""
    formats = {region.spatial_format for region in header.regions}
    by_mode = bool(header.modes & TRACES) and "2d" not in header.modes
    return FORMAT_2D not in formats and (by_mode or bool(formats & {FORMAT_M_MODE, FORMAT_SPECTRAL}))


# The names for "leave_out" in a bundle: the test on the header, and the reason to give.
LEAVE_OUT: Mapping[str, tuple[Callable[[ObjectHeader], bool], str]] = MappingProxyType(
    {
        "colour_doppler": (_colour_doppler, "colour Doppler"),
        "without_tissue": (_without_tissue, "M-mode or a Doppler spectrum, no 2D image"),
        "3d_rendering": (lambda header: "3d_rendering" in header.modes, "a 3D rendering"),
        "localizer": (lambda header: is_localizer(header.image_type), "a localizer"),
    }
)


class AcceptanceRules(DeclaredPrediction):
    """What a bundle accepts, as ``prediction`` in its metadata declares it."""

    @property
    def volumes(self) -> bool:
        """Whether an item is a series."""
        return self.unit == "series"

    def reason(self, header: ObjectHeader) -> str | None:
        """Why the bundle does not accept this object; None where it does. It never quotes the patient."""
        uid, modality = header.sop_class_uid, header.modality
        if self.volumes and uid and header.passed_over:
            return header.passed_over
        if is_secondary_capture(uid) and uid not in self.sop_classes:
            return "a secondary capture"
        if uid and uid not in self.sop_classes:
            return other_class(uid, modality, self.modalities)
        if modality and modality not in self.modalities:
            return f"modality {code_text(modality)}"
        names = (*self.leave_out, *(["localizer"] if self.volumes else []))  # no slice of a volume
        return next((LEAVE_OUT[name][1] for name in names if LEAVE_OUT[name][0](header)), None)


def read_rules(metadata: Mapping[str, Any]) -> AcceptanceRules:
    """The rules in a bundle's ``metadata.json``.

    Raises:
        ConfigError: there are none, or any section has an unknown key or value.
    """
    declared = BundleMetadata.from_mapping(metadata).prediction
    if declared is None:
        wanted = '"prediction" in metadata.json: which objects the bundle takes'
        raise ConfigError(wanted, found="none", remedy="Copy it from another bundle and change it.")
    return AcceptanceRules(**dict(declared))
