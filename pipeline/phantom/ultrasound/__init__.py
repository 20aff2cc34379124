"""Ultrasound phantoms: a kidney with its fluid, as B-mode frames and cines."""
