"""The interface of backends, which users call and authors implement, its argument validation, and its plugins."""
