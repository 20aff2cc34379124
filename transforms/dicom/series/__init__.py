"""CT, MR and PET series as volumes."""
