"""Stile: from data to governed production, and honest there."""

__version__ = "0.1.0"
