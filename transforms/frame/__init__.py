"""Frames of ultrasound: tissue, burned-in text, display values."""
