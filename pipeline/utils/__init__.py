"""Atomic files, devices, several processes, and error reports."""
