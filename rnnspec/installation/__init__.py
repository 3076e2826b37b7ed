"""What is installed here, and what is wrong with it: `python -m rnnspec info` and `python -m rnnspec doctor`."""
