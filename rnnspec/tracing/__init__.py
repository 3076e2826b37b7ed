"""Tracing: a function of equations becomes a graph, which can be printed."""
