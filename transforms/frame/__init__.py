"""Frames of ultrasound: tissue, burned-in text, display values, pictures on the source grid."""
