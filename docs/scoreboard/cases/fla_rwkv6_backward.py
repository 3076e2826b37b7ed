import torch
from fla.ops.rwkv6.recurrent_naive import naive_recurrent_rwkv6, naive_recurrent_rwkv6_bwd

torch.manual_seed(0)
q, k, v, do = (torch.randn(1, 1, 3, 4) for _ in range(4))
w, u = -torch.rand(1, 1, 3, 4), torch.randn(1, 4)
for a in (q, k, v, w, u):
    a.requires_grad_()
o, _ = naive_recurrent_rwkv6(q, k, v, w, u)
right = torch.autograd.grad(o, (q, v), do)
dq, _, dv, *_ = naive_recurrent_rwkv6_bwd(q, k, v, w, u, o, do)
assert torch.allclose(dq, 2 * right[0], atol=1e-5)  # the forward pass divides q by sqrt(4), the gradient does not
assert torch.allclose(dv, 2 * right[1], atol=1e-5)
