import torch
from torchrecurrent import SCRNCell

cell = SCRNCell(1, 1)
torch.nn.init.zeros_(cell.weight_ih)
torch.nn.init.zeros_(cell.weight_ch)
with torch.no_grad():
    cell.weight_hh[:] = torch.tensor([[0.0], [3.0]])  # recurrent map 0, output map 3
h, _ = cell(torch.zeros(1, 1), (torch.zeros(1, 1), torch.zeros(1, 1)))
hidden = torch.sigmoid(torch.tensor(0.0))  # the paper's h, which it feeds back
assert hidden == 0.5
assert torch.allclose(h, torch.tanh(3 * hidden))  # 0.905: tanh of the output map is fed back instead
