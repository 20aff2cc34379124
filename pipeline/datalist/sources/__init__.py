"""Where the items of a datalist come from: tables, folders, DICOM series, and what is to be predicted."""
