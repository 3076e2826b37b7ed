"""Reports of the parts of a run, and the one report that they make together."""
