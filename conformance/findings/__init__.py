"""What a run found: one finding for each law, one entry for each backend, and the report of all."""
