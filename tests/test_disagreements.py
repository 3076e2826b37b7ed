"""Cells for which a library computes another function than the paper: which one, and how far the two are apart."""

from pathlib import Path

import numpy as np
import pytest
import torchrecurrent

import rnnspec
from conformance.cases import hidden_for
from rnnspec import Layer, Network, cells
from rnnspec.convert.torchrecurrent_layouts import row
from rnnspec.primitives import number, sigmoid, tanh
from rnnspec.tracing.cell import cell
from tests import test_witnesses
from tests.test_witnesses import INPUTS, WITNESSES, Library, assert_agrees, drawn

GALLERY = Path(__file__).parents[1] / "docs/cells/index.md"


@cell
def lem_old_z(x, R, y, z):
    """That of torchrecurrent 0.2.5: y sees the z of the step before."""
    a = sigmoid(x.a + R.a(y))
    b = sigmoid(x.b + R.b(y))
    new = (1 - a) * z + a * tanh(x.z + R.z(y))
    return (1 - b) * y + b * tanh(x.y + R.y(z)), new


@cell
def scrn_fed_back(x, R, h, s, *, alpha=0.95):
    """That of torchrecurrent 0.2.5: tanh of the output is the state that the maps of h read."""
    s = (1 - alpha) * R.s(x) + alpha * s
    h = sigmoid(R.p(s) + R.a(x) + R.r(h))
    return tanh(R.u(h) + R.v(s)), s


@cell
def fastgrnn_tanh(x, R, p, h):
    """That of torchrecurrent 0.2.5 by default: the gate is tanh, and may be below 0."""
    a = R.w(x) + R.u(h)
    z = tanh(a + p.z)
    return (sigmoid(number(p.zeta)) * (1 - z) + sigmoid(number(p.nu))) * tanh(a + p.n) + z * h


THEIRS = {
    "lem": row("LEM", lem_old_z, "b a z y", weight_hh="U.b U.a U.z", weight_ch="U.y", bias_hh="b.b b.a b.z",
               bias_ch="b.y"),
    "scrn": row("SCRN", scrn_fed_back, "", constants={"alpha": "alpha"}, weight_ih="U.s U.a", weight_hh="U.r U.u",
                weight_ch="U.p U.v", bias_ih="0 0", bias_hh="0 0", bias_ch="0 0"),
    "fastgrnn": row("FastGRNN", fastgrnn_tanh, "", weight_ih="U.w", bias_ih="p.z p.n", weight_hh="U.u",
                    zeta="p.zeta", nu="p.nu", bias_hh="p.z p.n"),
}  # fmt: skip
"""The library's equations, and where its tensors hold their maps."""
DISAGREE = {
    "lem": (cells.lem, lem_old_z, np.asarray),
    "scrn": (cells.scrn, scrn_fed_back, np.tanh),
    "fastgrnn": (cells.fastgrnn, fastgrnn_tanh, np.asarray),
}
"""Our cell, the library's written as equations, and what the library applies to the outputs."""


@pytest.mark.parametrize("name", DISAGREE)
def test_a_library_computes_another_function_and_this_one(name, monkeypatch):
    published, other, seen = DISAGREE[name]
    kind = getattr(torchrecurrent, f"{THEIRS[name].kind}Cell")
    monkeypatch.setitem(WITNESSES, other.name, Library(kind, THEIRS[name]).step)
    monkeypatch.setattr(test_witnesses, "SQUARE", (other.name,))
    be = rnnspec.get_backend("numpy", precision="f64")
    assert_agrees(be, (other,))
    given = drawn((other,))
    net = Network(INPUTS, [Layer(published, hidden_for(published, (INPUTS,)))])
    theirs_, ours = (be.run(each, given.params, given.inputs, given.state).outputs for each in (given.net, net))
    apart = np.abs(seen(ours) - theirs_).max()
    assert apart >= 0.1
    [found] = [line for line in GALLERY.read_text().splitlines() if line.startswith(f"| [{name}]({name}.md) |")]
    assert found.split(" | ")[-1] == f"{apart:.1f} |"
