"""The four backends that come with rnnspec. Nothing imports this package but its entry points."""
