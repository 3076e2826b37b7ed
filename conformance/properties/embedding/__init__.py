"""Laws of class numbers as inputs, of outputs that are tied to them, and of learned initial states."""
