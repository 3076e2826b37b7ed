"""What is derived from a graph: the adjoint, the schedule over time, and which cells have the same equations."""
