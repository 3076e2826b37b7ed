"""Faults of calls with a key."""
