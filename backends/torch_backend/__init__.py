"""The PyTorch backend: eager calls, on the CPU or a CUDA device."""
