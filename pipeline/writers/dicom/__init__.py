"""DICOM objects: segmentations, structured reports, structure sets."""
