"""Speed: a backend compared with the floor of its matrix products, and with a named peer, by a paired rule."""
