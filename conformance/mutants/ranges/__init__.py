"""Faults that begin at a size or a number."""
