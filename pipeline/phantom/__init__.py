"""The embedded data: phantoms as real DICOM, with labels and a datalist."""

from pyraseg.pipeline.phantom.dataset import generate
from pyraseg.pipeline.phantom.records import PhantomReport
