"""A release, made and tried: `make release`. See `__main__`."""
