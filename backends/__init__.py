"""The four backends that come with rnnspec. Only their entry points import this package."""
