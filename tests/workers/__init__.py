"""Workers as real processes on this machine: how tests launch them, and what they run."""
