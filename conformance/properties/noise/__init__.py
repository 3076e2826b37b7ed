"""Laws of calls with a key."""
