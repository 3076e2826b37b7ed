"""Laws of a cell's equations: values, gradients, and what follows from the equations of any cell."""
