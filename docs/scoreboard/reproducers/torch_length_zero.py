import torch
from torch.nn.utils.rnn import pack_padded_sequence

try:
    pack_padded_sequence(torch.zeros(3, 2, 1), torch.tensor([3, 0]), enforce_sorted=False)
    refused = ""
except RuntimeError as error:
    refused = str(error)
assert "greater than 0" in refused
