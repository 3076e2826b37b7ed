"""Laws of losses and of training steps."""
