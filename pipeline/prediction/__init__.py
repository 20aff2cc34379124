"""Batch inference: from folders of DICOM to SEG, SR, NIfTI, pictures, tables and a report."""
