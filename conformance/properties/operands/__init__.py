"""Laws of a recurrence whose x.name are given, and not mapped from an input."""
