"""From INPUTs to items: files, DICOMDIRs, series, and which of them a bundle accepts."""
