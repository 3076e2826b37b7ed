"""JAX: every call one compiled program."""
