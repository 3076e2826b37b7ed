import torch
from lstm_variants.lstm import LSTM

torch.manual_seed(0)
batch, steps = 2, 5
outputs, _ = LSTM(3, 4, batch_first=True)(torch.randn(batch, steps, 3))
assert outputs.shape == (steps, batch, 4)  # time comes first all the same
backward = LSTM(3, 4, batch_first=False, reverse=True)
x = torch.randn(steps, batch, 3)
outputs, (h, _) = backward(x)
assert torch.equal(outputs[-1], h)  # the outputs stand in the order of reading, and BiLSTM puts them beside the others
