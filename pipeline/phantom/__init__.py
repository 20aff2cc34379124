"""The embedded data: phantoms written as real DICOM, with labels and a datalist."""

from pipeline.phantom.dataset import generate
from pipeline.phantom.records import PhantomReport

__all__ = ["PhantomReport", "generate"]
