"""Plans for backends that call a library function by function: the calls of a cell, and the place of each result."""
