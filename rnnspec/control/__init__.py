"""What gradient policies and update rules are made of: rules on the recurrence, on gradients, and their limits."""
