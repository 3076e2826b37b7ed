"""Processes: each backend runs in its own, with messages, limits, and a record of what it printed last."""
