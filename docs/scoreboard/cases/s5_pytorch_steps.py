import torch
from s5 import S5

layer, refused = S5(4, state_width=2), []
for call in (layer.initial_state, lambda: layer.seq.forward_rnn(torch.randn(4), torch.zeros(2))):
    try:
        call()
    except (AttributeError, IndexError, RuntimeError) as error:
        refused.append(type(error).__name__)
assert refused == ["AttributeError", "IndexError"]
