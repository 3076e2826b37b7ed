"""A graph becomes equations in time: the adjoint, the order of calls over steps, and which cells are the same."""
