"""Laws of calls: their arguments, their memory, threads, and the path that runs."""
