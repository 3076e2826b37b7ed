"""Faults with time and rows: steps, directions, lengths, states and cotangents."""
