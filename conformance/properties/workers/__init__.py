"""Laws of several workers, which are threads of one process."""
