import torch
from minGRU_pytorch.minGRU import minGRU

torch.manual_seed(0)
layer, x, state = minGRU(2), torch.randn(1, 3, 2), torch.full((1, 1, 2), -0.5)
assert layer(x, state).isnan().all()  # the logarithm of the state
assert not layer(x[:, :1], state).isnan().any()  # one step alone needs none
