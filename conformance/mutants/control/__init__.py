"""Faults with gradient policies and update rules."""
