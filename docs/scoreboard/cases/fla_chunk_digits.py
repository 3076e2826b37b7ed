import torch
from fla.ops.gated_delta_rule.naive import naive_chunk_gated_delta_rule, naive_recurrent_gated_delta_rule

torch.manual_seed(0)
q, k, v, beta = (torch.randn(1, 64, 1, 4), torch.randn(1, 64, 1, 4) / 2, torch.randn(1, 64, 1, 4),
                 torch.rand(1, 64, 1))  # fmt: skip
g = (-2 * torch.rand(1, 64, 1)).requires_grad_()
worst = {}
for function in (naive_recurrent_gated_delta_rule, naive_chunk_gated_delta_rule):
    _, final = function(q=q, k=k, v=v, beta=beta, g=g, output_final_state=True)
    worst[function.__name__] = torch.autograd.grad(final.sum(), g)[0].flatten()
recurrent, chunk = worst.values()
early = recurrent.abs() < 1e-6 * recurrent.abs().max()  # steps that the state has forgotten
assert ((chunk - recurrent).abs() / recurrent.abs())[early].max() > 1e-2
