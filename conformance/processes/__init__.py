"""A backend runs in a process of its own: messages, limits, and what it printed before it ended."""
