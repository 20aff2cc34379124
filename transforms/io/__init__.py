"""Loading frames and volumes from DICOM, NIfTI, PNG and JPEG."""
