"""What a network does to its gradients: norms by step, and their picture."""
