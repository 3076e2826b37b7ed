"""Precedence in an exported language: what Python and C have in common."""

from __future__ import annotations

__all__ = ["ATOM", "PRODUCT", "SIGNS", "SUM", "enclosed"]

COMPARISON, SUM, PRODUCT, ATOM = 0, 1, 2, 3
"""The precedence of an expression; one below that of its place gets parentheses."""
SIGNS = {"add": ("+", SUM, SUM), "subtract": ("-", SUM, PRODUCT), "multiply": ("*", PRODUCT, ATOM),
         "divide": ("/", PRODUCT, ATOM), "greater": (">", COMPARISON, SUM),
         "greater_equal": (">=", COMPARISON, SUM)}  # fmt: skip
"""The sign of an operation, its precedence, and the least one of its second operand."""


def enclosed(text: str, binding: int, at_least: int) -> str:
    """The expression, in parentheses where its place binds closer."""
    return text if binding >= at_least else f"({text})"
