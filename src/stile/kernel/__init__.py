"""What everything else is made of: errors, ids, time, digests, events, permissions, settings. No I/O."""
