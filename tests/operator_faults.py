"""Faults of kernels in chunks, as substitutions in the source of right operators, for the suite to detect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OPERATORS = {
    "gla": ("their_torch_operators", "chunk_gla", "gla"),
    "deltanet": ("their_torch_operators", "chunk_deltanet", "deltanet"),
    "mlstm": ("their_torch_operators", "chunk_mlstm", "mlstm"),
    "ssd": ("their_torch_operators", "ssd", "mamba2"),
    "mingru": ("their_torch_operators", "scan_mingru", "mingru"),
    "gla in JAX": ("their_jax_operators", "chunk_gla", "gla"),
    "retnet in JAX": ("their_jax_operators", "chunk_retnet", "retnet"),
    "hgrn in JAX": ("their_jax_operators", "scan_hgrn", "hgrn"),
}
"""The module, the function and the cell of each."""


@dataclass(frozen=True)
class Fault:
    """What is wrong in an operator, and the piece of its source that makes it so."""

    says: str
    operator: str
    old: str
    new: str

    @property
    def cell(self) -> str:
        """The cell that the operator should compute."""
        return OPERATORS[self.operator][2]

    def make(self) -> Callable[..., Any]:
        """The faulty operator."""
        return made(self.operator, self.old, self.new)


def made(operator: str, old: str = "", new: str = "") -> Callable[..., Any]:
    """An operator whose own source has a piece in place of another."""
    module, name, _ = OPERATORS[operator]
    before, function, after = _source(module).partition(f"def {name}(")
    body, end, rest = after.partition("\n\n\n")
    if old and body.count(old) != 1:
        raise ValueError(f"{operator}: the piece must be there once, got {body.count(old)} of {old!r}")
    space: dict[str, Any] = {"__name__": module}
    text = before + function + (body.replace(old, new) if old else body) + end + rest
    exec(compile(text, module, "exec"), space)
    if module == "their_torch_operators":
        exec(compile(_source("their_torch_gradients"), "their_torch_gradients", "exec"), space)
    return space[name]  # type: ignore[no-any-return]


@cache
def _source(module: str) -> str:
    return (HERE / f"{module}.py").read_text(encoding="utf-8")


END = "torch.cat(outputs, 2).transpose(1, 2), S"
UPDATE = "S = b[:, :, -1:].exp().mT * S + (kc * decay[:, :, -1]).mT @ vc"
FAULTS = (
    Fault("the mask leaves out the diagonal", "gla", ".tril()", ".tril(-1)"),
    Fault("the mask shows one step of the future", "gla", ".tril()", ".tril(1)"),
    Fault("a query reads the state with the decay of the step before", "gla", "(qc * b.exp()) @ S",
          "(qc * (b - gc).exp()) @ S"),
    Fault("a value decays in its own step", "gla", "sums.masked_fill",
          "(sums + gc[:, :, None]).masked_fill"),
    Fault("the state does not decay from chunk to chunk", "gla", "b[:, :, -1:].exp().mT * S +", "S +"),
    Fault("what a chunk hands on decays a step too much", "gla", "kc * decay[:, :, -1]",
          "kc * decay[:, :, -1] * gc.exp()"),
    Fault("heads are mixed in the values", "gla", "scores @ vc)", "scores @ vc.roll(1, 1))"),
    Fault("the gate of head 0 is used for all", "gla", "functional.logsigmoid(a)",
          "functional.logsigmoid(a[:, :, :1]).expand_as(a)"),
    Fault("the final state is wrong unless the length is a multiple of a chunk", "gla", UPDATE,
          f"{UPDATE} if b.shape[2] == CHUNK else S"),
    Fault("the padded tail is written", "gla", "(torch.where(real, u, 0.0) for u in (q, k, v, a))",
          "(u if u is k or u is v else torch.where(real, u, 0.0) for u in (q, k, v, a))"),
    Fault("the state decays in the padded tail", "gla", "torch.where(real, functional.logsigmoid(a) / 16, 0.0)",
          "functional.logsigmoid(a) / 16"),
    Fault("the initial state has no gradient", "gla", "else initial_state", "else initial_state.detach()"),
    Fault("the final state's cotangent is ignored", "gla", END, END.replace("2), S", "2), S.detach()")),
    Fault("the state is zeroed before the fourth chunk", "gla", "        b = gc.cumsum(2)",
          "        S = S * (begin != 3 * CHUNK)\n        b = gc.cumsum(2)"),
    Fault("only the last 64 steps are written", "gla", "T = q.shape[1]",
          "T = q.shape[1]\n    k = k * (torch.arange(T) >= T - 64)[:, None, None]"),
    Fault("an index wraps around at 96", "gla", "u[:, begin : begin + CHUNK].transpose(1, 2)",
          "u[:, torch.arange(begin, min(begin + CHUNK, T)) % 96].transpose(1, 2)"),
    Fault("the cotangent of the outputs is taken to be contiguous", "gla", END,
          f"AssumesContiguous.apply({END.removesuffix(', S')}), S"),
    Fault("the cotangent of the outputs is taken to be one", "gla", END,
          f"AssumesOne.apply({END.removesuffix(', S')}), S"),
    Fault("a second pullback adds to the first", "gla", END, f"Accumulates.apply({END.removesuffix(', S')}), S"),
    Fault("keys have no gradient where gates need none", "gla", "T = q.shape[1]",
          "T = q.shape[1]\n    k = k if a.requires_grad else k.detach()"),
    Fault("the gates are overwritten", "gla", "T = q.shape[1]", "T = q.shape[1]\n    a.data.mul_(0.5)"),
    Fault("the gate's logarithm is divided by 8", "gla", "/ 16", "/ 8"),
    Fault("queries are divided by the root of their width", "gla", "T = q.shape[1]",
          "T, q = q.shape[1], q / q.shape[-1] ** 0.5"),
    Fault("rows are mixed from the second chunk on", "gla", "        b = gc.cumsum(2)",
          "        S = S.roll(1, 0) if begin else S\n        b = gc.cumsum(2)"),
    Fault("a key corrects those two steps before it only", "deltanet", ".tril(-1)", ".tril(-2)"),
    Fault("the gate does not scale what is replaced", "deltanet", "bc * (vc - kc @ S.mT)", "vc - bc * (kc @ S.mT)"),
    Fault("a query does not read its own step", "deltanet", "(qc @ kc.mT).tril()", "(qc @ kc.mT).tril(-1)"),
    Fault("queries are not normalised", "deltanet", "for u in (q, k))", "if u is k else u for u in (q, k))"),
    Fault("the triangular system is solved by two terms of its series", "deltanet",
          "torch.linalg.solve_triangular(system, bc * (vc - kc @ S.mT), upper=False, unitriangular=True)",
          "bc * (vc - kc @ S.mT) - met @ (bc * (vc - kc @ S.mT))"),
    Fault("the state is kept in 16 bits from chunk to chunk", "deltanet", "S = S + written.mT @ kc",
          "S = (S + written.mT @ kc).to(torch.bfloat16).to(q.dtype)"),
    Fault("the gate of head 0 is used for all", "deltanet", "b.sigmoid()", "b[:, :1].sigmoid()"),
    Fault("what is replaced is read from another row", "deltanet", "vc - kc @ S.mT", "vc - kc @ S.mT.roll(1, 0)"),
    Fault("the state in a chunk is the one after it", "deltanet", "outputs.append(qc @ S.mT",
          "outputs.append(qc @ (S + written.mT @ kc).mT"),
    Fault("the stabiliser is one for the whole batch", "mlstm", "top = torch.maximum(past, D.amax(-1))",
          "top = torch.maximum(past, D.amax(-1)).amax(0, keepdim=True).expand_as(past)"),
    Fault("the stabiliser is that of a chunk's first step", "mlstm", "runs[..., 0], top[..., -1]",
          "runs[..., 0], top[..., 0]"),
    Fault("the normaliser's sign is kept", "mlstm", "norm.abs()", "norm"),
    Fault("the normaliser has a constant floor", "mlstm", "(-top).exp()[..., None])", "torch.ones_like(norm))"),
    Fault("the forget gate of a value's own step is applied", "mlstm", "(sums + ic", "(sums + fc[..., None, :] + ic"),
    Fault("the stabiliser has no gradient", "mlstm", "top = torch.maximum(past, D.amax(-1))",
          "top = torch.maximum(past, D.amax(-1)).detach()"),
    Fault("the input gate is that of the step before", "mlstm", "+ ic[..., None, :]", "+ ic.roll(1, -1)[..., None, :]"),
    Fault("the normaliser decays as in a chunk's first step", "mlstm", "old[..., -1, :] * n", "old[..., 0, :] * n"),
    Fault("the output gate of head 0 is used for all", "mlstm", "o.sigmoid() *", "o[:, :1].sigmoid() *"),
    Fault("what a chunk hands on decays a step too much", "ssd", "Bc, decay[:, -1], uc",
          "Bc, decay[:, -1] * gc.exp(), uc"),
    Fault("the initial state of the first row is used for all", "ssd", "D, S[i : i + 1])", "D, S[:1])"),
    Fault("packed rows begin with zeros", "ssd", "D, S[i : i + 1])", "D, torch.zeros_like(S[i : i + 1]))"),
    Fault("a packed row begins with the state of the row before it", "ssd", "torch.cat([last for _, last in rows])",
          "torch.cat([rows[i - 1][1] if i else last for i, (_, last) in enumerate(rows)])"),
    Fault("the skip of head 0 is used for all", "ssd", "D[:, None] * v", "D[:1, None] * v"),
    Fault("the decay learns nothing", "ssd", "A.exp()", "A.detach().exp()"),
    Fault("the time scale is linear from 2 on", "ssd", "functional.softplus(dt)",
          "functional.softplus(dt, threshold=2)"),
    Fault("a query reads the state with the decay of the step before", "ssd", "Cc, b.exp(), S)",
          "Cc, (b - gc).exp(), S)"),
    Fault("the last scan is left out where the length is no power of 2", "mingru", "while step < len(a)",
          "while 2 * step <= len(a)"),
    Fault("the final state forgets the initial one", "mingru", "return h, h[-1]", "return h, u[-1]"),
    Fault("a reset acts a step too late", "mingru", "resets[..., None], 0.0", "resets.roll(1, 0)[..., None], 0.0"),
    Fault("a reset acts where all rows have one", "mingru", "resets[..., None], 0.0",
          "resets.all(1)[:, None, None], 0.0"),
    Fault("the scan reaches 32 steps", "mingru", "while step < len(a)", "while step < min(len(a), 32)"),
    Fault("the initial state decays once", "mingru", "u + a * first", "u + a[:1] * first"),
    Fault("the padded tail is written", "gla in JAX", "(jnp.where(real, u, 0) for u in (q, k, v, a))",
          "(u if u is k or u is v else jnp.where(real, u, 0) for u in (q, k, v, a))"),
    Fault("the decay in a chunk begins at its first step", "gla in JAX", "(qc * jnp.exp(b)) @ S",
          "(qc * jnp.exp(b - b[:, :, :1])) @ S"),
    Fault("a query reads the state with the decay of the step before", "retnet in JAX", "(t[:, None] + 1)",
          "t[:, None]"),
    Fault("what a chunk hands on decays a step too much", "retnet in JAX", "(len(t) - 1 - t[:, None])",
          "(len(t) - t[:, None])"),
    Fault("a chunk that is not full decays as a full one", "retnet in JAX", "** len(t) * S", "** CHUNK * S"),
    Fault("the decay of head 0 is used for all", "retnet in JAX", "(qc @ kc.mT * decay)", "(qc @ kc.mT * decay[:1])"),
    Fault("the initial state has no gradient", "hgrn in JAX", "a * initial_state[:, None]",
          "a * jax.lax.stop_gradient(initial_state)[:, None]"),
    Fault("the bound learns nothing", "hgrn in JAX", "bound = jax.nn.sigmoid(b)",
          "bound = jax.lax.stop_gradient(jax.nn.sigmoid(b))"),
)  # fmt: skip
"""By operator; each is one piece of source."""
