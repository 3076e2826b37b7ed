import torch
from sru import SRUCell

torch.manual_seed(0)
cell, x = SRUCell(2, 2).double(), torch.randn(3, 1, 2, dtype=torch.float64)
cell(x)  # with gradients
with torch.no_grad():
    try:
        cell(x)
        refused = ""
    except RuntimeError as error:
        refused = str(error)
assert "expected scalar type Float but found Double" in refused
