"""Spaced repetition for Frappe. The engine is the wheel ``memora-srs`` of the same version."""

__version__ = "0.1.0"
