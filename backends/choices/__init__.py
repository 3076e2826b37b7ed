"""Choices by measurement: each is decided once in a process, when its question first comes up, and kept in a file."""
