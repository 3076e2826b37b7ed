"""NumPy: the backend that needs nothing else."""
