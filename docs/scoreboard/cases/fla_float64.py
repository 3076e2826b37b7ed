import torch
from fla.ops.gated_delta_rule.naive import naive_recurrent_gated_delta_rule
from fla.ops.gla.naive import naive_recurrent_gla

torch.manual_seed(0)
q, k, v, g = (torch.randn(1, 3, 1, 2, dtype=torch.float64) for _ in range(4))
outputs, _ = naive_recurrent_gla(q, k, v, g)
S, exact = torch.zeros(2, 2, dtype=torch.float64), []
for t in range(3):
    S = g[0, t, 0].exp()[:, None] * S + torch.outer(k[0, t, 0], v[0, t, 0])
    exact.append(q[0, t, 0] / 2**0.5 @ S)
assert outputs.dtype == torch.float64
assert (outputs[0, :, 0] - torch.stack(exact)).abs().max() > 1e-10  # a float64 has an error below 1e-15
beta = torch.rand(1, 3, 1, dtype=torch.float64)
assert naive_recurrent_gated_delta_rule(q, k, v, beta, -beta)[0].dtype == torch.float32
