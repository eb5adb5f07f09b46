"""Stile's own API under ``/api/v1``: one module per topic, each a table of routes."""
