"""Plans for backends that call a library function by function: which calls serve a cell, and where each result lies."""
