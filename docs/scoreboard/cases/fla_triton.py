import torch
from fla.ops.gla import chunk_gla

q = torch.randn(1, 64, 1, 16)
try:
    chunk_gla(q, q, q, -q.abs())
    refused = ""
except Exception as error:  # which one depends on the version of Triton
    refused = f"{type(error).__name__}: {error}"
assert refused
