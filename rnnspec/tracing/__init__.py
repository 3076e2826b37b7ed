"""A function becomes a graph: cells, their expressions, and how both are printed."""
