"""Volume phantoms as DICOM series, with their labels as SEG and RTSTRUCT."""
