"""Volumes of CT, MR and PET: intensities."""
