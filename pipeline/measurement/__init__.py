"""Clinical quantities of label maps: areas, lengths, volumes, SUV."""
