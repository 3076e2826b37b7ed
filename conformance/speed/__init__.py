"""Speed: a backend against the floor of its own matrix products, and against a named peer, by a paired rule."""
