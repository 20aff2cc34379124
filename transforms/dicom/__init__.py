"""Reading DICOM: finding files, decoding frames, calibration, and the MONAI image reader on top."""
