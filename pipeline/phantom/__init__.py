"""The embedded data: phantoms written as real DICOM, with labels and a datalist."""

from pyraseg.pipeline.phantom.data_set_records import PhantomReport
from pyraseg.pipeline.phantom.dataset import generate

__all__ = ["PhantomReport", "generate"]
