"""Faults in time in parallel: scans, chunks, their halves, segments, and which path runs."""
