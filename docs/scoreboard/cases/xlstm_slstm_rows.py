import torch
from xlstm.blocks.slstm.src.vanilla import slstm_forward, slstm_pointwise_function_registry

torch.manual_seed(0)
step, R, b = slstm_pointwise_function_registry["slstm"], torch.zeros(1, 8, 2), torch.zeros(8)
x = torch.randn(1, 2, 8) - 3
fresh, old = torch.zeros(4, 1, 2), torch.ones(4, 1, 2)
alone = slstm_forward(x[:, :1], fresh, R, b, step)[1]
together = slstm_forward(x, torch.cat((fresh, old), 1), R, b, step)[1][:, :1]  # beside a row that has begun before
assert (alone[1:] - together[1:]).abs().max() > 0.5
