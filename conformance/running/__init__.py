"""A run of the suite: each precision of each backend in its own process, law by law."""
