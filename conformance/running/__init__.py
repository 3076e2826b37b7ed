"""A run of the suite: each backend in its own process, law by law."""
