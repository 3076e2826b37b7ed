"""Several workers that compute one call together: each has rows of its own, and all get the same sums."""
