import torch
from fla.ops.hgrn.naive import naive_chunk_hgrn, naive_recurrent_hgrn

torch.manual_seed(0)
x, g = torch.randn(1, 8, 2), -torch.rand(1, 8, 2)
assert torch.allclose(naive_chunk_hgrn(x, g, chunk_size=8)[0], naive_recurrent_hgrn(x, g)[0], atol=1e-5)
try:
    naive_chunk_hgrn(x, g, chunk_size=4)  # two chunks
    refused = ""
except RuntimeError as error:
    refused = str(error)
assert "invalid for input of size" in refused
