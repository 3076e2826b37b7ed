import torch
from mingru import MinGRU

torch.manual_seed(0)
layer, x = MinGRU(2, 2), torch.randn(1, 3, 2)
half = torch.full((1, 1, 2), 0.5)
assert torch.allclose(layer(x), layer(x, half))  # no state means 0.5
assert not torch.allclose(layer(x), layer(x, torch.zeros(1, 1, 2)), atol=0.01)
