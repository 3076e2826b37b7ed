import torch
from xlstm.blocks.mlstm.backends import recurrent_step_stabilized_simple

zeros = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 1), torch.zeros(1, 1, 1, 1)
q, k, v = (torch.randn(1, 1, 1, 4) for _ in range(3))
recurrent_step_stabilized_simple(*zeros, q, k, v, torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
assert q.shape == (1, 1, 4)  # the caller's tensor has lost an axis
