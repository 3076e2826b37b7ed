"""The NumPy backend, which needs no other framework."""
