"""Laws of layers that run in parallel over time."""
