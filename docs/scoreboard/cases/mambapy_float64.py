import torch
from mambapy.mamba import MambaBlock, MambaConfig

torch.manual_seed(0)
block = MambaBlock(MambaConfig(4, 1, expand_factor=1, d_state=2)).double()
block.A_log.data[:], block.dt_proj.bias.data[:] = 0.5, 1.0
x = torch.randn(1, 4, dtype=torch.float64)
_, state = block.ssm_step(x, torch.ones(1, 4, 2, dtype=torch.float64))
parts = block.x_proj(x).split([1, 2, 2], -1)
dt = torch.nn.functional.softplus(block.dt_proj(parts[0]))[..., None]
exact = torch.exp(-dt * block.A_log.exp()) + dt * parts[1][:, None] * x[..., None]
assert state.dtype == torch.float64
assert (state - exact).abs().max() > 1e-10  # a float64 has an error below 1e-15
