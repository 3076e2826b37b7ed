"""PyTorch: eager, on the CPU or a CUDA device."""
