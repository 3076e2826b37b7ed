"""Gradient control: policies inside the recurrence, rules on finished gradients, and their limits."""
