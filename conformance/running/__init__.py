"""A run: backends in turn, each examined in its own process, law by law."""
