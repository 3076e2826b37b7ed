"""Faults that are generated from a cell's graph, its adjoint and its schedule."""
