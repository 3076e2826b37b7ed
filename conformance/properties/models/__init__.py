"""Laws of whole models: layers without a state, residual layers, and heads."""
