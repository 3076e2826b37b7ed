"""Faults with losses and training steps."""
