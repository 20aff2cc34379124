"""Sources of a datalist's items: tables, folders, DICOM series, and images for prediction."""
