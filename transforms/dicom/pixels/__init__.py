"""Decoding pixel data."""
