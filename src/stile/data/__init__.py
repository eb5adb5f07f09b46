"""Data: what it must look like, what it was, and its summary to compare live windows with."""
