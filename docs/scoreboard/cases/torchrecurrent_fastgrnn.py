import torch
from torchrecurrent import FastGRNNCell

cell = FastGRNNCell(1, 1)
torch.nn.init.ones_(cell.weight_ih)
torch.nn.init.zeros_(cell.weight_hh)
x, h = torch.tensor([[-2.0]]), torch.tensor([[10.0]])
zeta, nu, n = torch.sigmoid(cell.zeta), torch.sigmoid(cell.nu), torch.tanh(x)
for act, same in ((torch.sigmoid, False), (torch.tanh, True)):  # the paper's gate, and theirs: -0.96, no gate at all
    z = act(x)
    assert torch.allclose(cell(x, h), (zeta * (1 - z) + nu) * n + z * h, atol=1e-5) == same
