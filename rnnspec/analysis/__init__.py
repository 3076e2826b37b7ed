"""Analysis of a network's gradients over time: norms by step, Jacobians, and a plot."""
