import torch
from xlstm.blocks.mlstm.backends import chunkwise_simple, recurrent_step_stabilized_simple

torch.manual_seed(0)
q, k, v = (torch.randn(1, 1, 1, 4) for _ in range(3))
i, f = torch.randn(1, 1, 1), torch.randn(1, 1, 1)
_, (C, *_) = chunkwise_simple(q, k, v, i, f, chunk_size=1, return_last_state=True)
zeros = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 1), torch.zeros(1, 1, 1, 1)
_, (own, *_) = recurrent_step_stabilized_simple(*zeros, q.clone(), k.clone(), v.clone(), i[..., None], f[..., None])
assert torch.allclose(C, 2 * own, atol=1e-5)  # sqrt(4) times: one divides queries, the other divides keys
