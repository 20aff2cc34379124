"""The invented body of a volume phantom: outline, organs, lesions."""
