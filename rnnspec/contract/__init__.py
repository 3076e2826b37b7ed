"""The contract between rnnspec and a backend: arrays, kernels, results, capabilities, budgets, and its version."""
