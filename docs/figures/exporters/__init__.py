"""The frameworks' own exporters, tried with a layer of rnnspec."""
