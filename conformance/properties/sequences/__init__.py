"""Laws of time and rows: steps, directions, padding, and rows that know nothing of one another."""
