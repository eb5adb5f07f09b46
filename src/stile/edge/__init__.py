"""The edge: what everything that speaks HTTP shares. Routes with permissions, callers, limits, errors, live updates."""
