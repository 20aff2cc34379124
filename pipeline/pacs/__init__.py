"""From a PACS and back: DIMSE and DICOMweb."""
