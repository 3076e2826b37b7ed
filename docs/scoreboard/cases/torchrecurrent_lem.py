import torch
from torchrecurrent import LEMCell

torch.manual_seed(0)
cell, sigmoid, tanh = LEMCell(3, 4), torch.sigmoid, torch.tanh
x, y, z = torch.randn(1, 3), torch.randn(1, 4), torch.randn(1, 4)
b, a, new, out = (x @ cell.weight_ih.T).chunk(4, 1)  # all biases are 0 at first
b_y, a_y, new_y = (y @ cell.weight_hh.T).chunk(3, 1)
z_new = z + sigmoid(a + a_y) * (tanh(new + new_y) - z)
paper = y + sigmoid(b + b_y) * (tanh(out + z_new @ cell.weight_ch.T) - y)
theirs = y + sigmoid(b + b_y) * (tanh(out + z @ cell.weight_ch.T) - y)
found = cell(x, (y, z))[0]
assert torch.allclose(found, theirs, atol=1e-6)
assert (found - paper).abs().max() > 0.1
