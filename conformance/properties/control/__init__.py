"""Laws of gradient policies and update rules."""
