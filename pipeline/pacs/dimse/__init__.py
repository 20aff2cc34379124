"""What is asked of a peer by DIMSE, with pynetdicom (PS3.7, PS3.8)."""
