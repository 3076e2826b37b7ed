"""The JAX backend: every call is one compiled program."""
