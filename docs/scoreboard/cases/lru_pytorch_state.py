import torch
from LRU_pytorch import LRU

torch.manual_seed(0)
layer, x = LRU(2, 2, 3, rmin=0.1), torch.randn(1, 4, 2).repeat(2, 1, 1)  # twice the same row
fresh = layer(x)
begun = layer(x, torch.ones(3, dtype=torch.complex64))
assert (begun[0] - fresh[0]).abs().max() > 0.01  # the state is given to the first row
assert torch.equal(begun[1], fresh[1])  # and to no other
