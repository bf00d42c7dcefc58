"""Measurements, and the scripts that made the data and the pictures. Not part of the package."""
