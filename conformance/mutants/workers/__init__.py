"""Faults of several workers."""
