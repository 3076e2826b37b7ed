"""Running a declaration: generic lowering, stacked layers, padding, losses and recomputation."""
