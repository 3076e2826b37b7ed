"""What rnnspec and a backend agree on: arrays, kernels, results, capabilities, budgets, and the version of it all."""
