"""Faults with the parts of a layer, heads and the rows and columns of its matrices, and with those of a whole model."""
