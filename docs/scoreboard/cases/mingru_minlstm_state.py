import torch
from minGRU_pytorch.minLSTM import minLSTM

torch.manual_seed(0)
layer, x = minLSTM(2), torch.randn(1, 8, 2)
whole = layer(x)
_, state = layer(x[:, :4], return_next_prev_hidden=True)
assert (layer(x[:, 4:], state) - whole[:, 4:]).abs().max() > 0.1  # four more steps at once: the state passes g again
for t in range(4, 8):  # one step at a time it does not
    step, state = layer(x[:, t : t + 1], state, return_next_prev_hidden=True)
    assert torch.allclose(step, whole[:, t : t + 1], atol=1e-6)
