"""Faults with the parts of a layer: its heads, and the rows and columns of its matrices."""
