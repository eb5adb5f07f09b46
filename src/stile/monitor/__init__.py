"""Live traffic against the archived reference: windows, the living gate, alerts."""
