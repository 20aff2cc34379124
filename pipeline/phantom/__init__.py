"""The embedded data: phantoms written as real DICOM, with labels and a datalist."""

from pipeline.phantom.dataset import LABEL_NAMES, PhantomReport, generate

__all__ = ["LABEL_NAMES", "PhantomReport", "generate"]
