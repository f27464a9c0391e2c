"""Frappe and the sidecar, side by side on one site of a real bench."""
