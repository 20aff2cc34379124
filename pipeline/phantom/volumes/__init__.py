"""Volume phantoms: CT, MR and PET series of an invented body with lesions of known volume and value."""
