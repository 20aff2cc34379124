"""The synthetic DICOM files of the tests of reading DICOM."""

from tests.transforms.dicom.conftest import colour, grey, region, write_dicom

__all__ = ["colour", "grey", "region", "write_dicom"]
