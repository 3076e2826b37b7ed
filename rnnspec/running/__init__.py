"""A declaration runs: generic lowering, layers on top of one another, padding, losses, recomputation."""
