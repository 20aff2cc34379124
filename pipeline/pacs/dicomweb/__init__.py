"""What is asked of a peer by DICOMweb, over HTTP (PS3.18)."""
