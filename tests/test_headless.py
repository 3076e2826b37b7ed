"""A backend that declares no heads or no matrices: it is refused before anything runs, and tested without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conformance.cases import cases
from conformance.mutants.trial import Reference
from conformance.registry import Scope, properties
from conformance.running.examination import Examination
from rnnspec import Dense, Layer, Network, cell, cells, out
from rnnspec.errors import UnsupportedError
from rnnspec.losses import SquaredError
from rnnspec.primitives import outer

LAWS = {law.id: law for law in properties()}


@cell
def linear(x, S):
    S = S + outer(x.v, x.k)
    return out(S @ x.q), S


@cell
def passing(x, h):
    return outer(h, x.k) @ h


class Headless(Reference):
    """It would break on both."""

    capabilities = replace(Reference.capabilities, heads=False, matrices=False)

    def layer(self, cell, *asked):
        assert cell.heads is None
        assert not cell.has_matrices
        return super().layer(cell, *asked)


class Listing(Reference):
    capabilities = replace(Reference.capabilities, cells=(cells.lstm,))


HEADS = Layer(cells.lstm, hidden=2, heads=2)
REFUSED = {
    "heads": (Headless, HEADS, r"no heads \(lstm with 2 heads\) among its capabilities"),
    "one head": (Headless, Layer(cells.gru, hidden=2, heads=1), r"no heads \(gru with 1 head\)"),
    "a matrix state": (Headless, Layer(linear, hidden=2), r"no matrices \(linear\)"),
    "a matrix on the way": (Headless, Layer(passing, hidden=2), r"no matrices \(passing\)"),
    "a listed cell with heads": (Listing, HEADS, "no cell lstm with 2 heads among"),
}


@pytest.mark.parametrize(("subject", "layer", "got"), REFUSED.values(), ids=REFUSED)
def test_what_a_backend_does_not_declare_is_refused(subject, layer, got):
    net = Network(3, [Layer(cells.lstm, 2), layer], output=Dense(1), loss=SquaredError())
    given, x = net.init(0), np.zeros((4, 2, 3))
    for call in (lambda: subject().run(net, given, x), lambda: subject().value_and_grad(net, given, x, x[..., :1])):
        with pytest.raises(UnsupportedError, match=got):
            call()


def test_a_listed_cell_may_have_heads():
    class Listed(Reference):
        capabilities = replace(Reference.capabilities, cells=(HEADS.cell,))

    net = Network(3, [HEADS])
    assert Listed().run(net, net.init(0), np.zeros((4, 2, 3))).outputs.shape == (4, 2, 4)
    with pytest.raises(UnsupportedError, match="no cell lstm among"):
        Listed().run(Network(3, [Layer(cells.lstm, 2)]), {}, np.zeros((4, 2, 3)))


@pytest.mark.parametrize("law", ["P01", "P120"])
def test_such_a_backend_conforms_on_networks_without_them(law):
    nets = []
    labels = LAWS[law].cases(Scope((cells.lstm, cells.gru), eager=True)).items()
    drawn = dict([(name, strategy) for name, strategy in labels if name.startswith("drawn")][:5])
    counted = replace(LAWS[law], cases=lambda scope: drawn,
                      check=lambda backend, case, judge: nets.append((backend, case.net)))  # fmt: skip
    for subject in (Headless(), Reference()):
        assert Examination(subject, Scope((cells.lstm, cells.gru))).judge(counted).status == "pass"
    able = [net for backend, net in nets if isinstance(backend, Headless)]
    assert able
    assert not any(Headless.capabilities.lacked(layer.cell) for net in able for layer in net.layers)
    assert any(layer.heads for _, net in nets for layer in net.layers), "a backend with heads is tested with them"


def test_a_backend_without_matrices_is_tested_on_heads_of_vectors():
    class Vectors(Reference):
        capabilities = replace(Reference.capabilities, matrices=False)

    scope = Scope((cells.lstm,))
    found = Examination(Vectors(), scope, examples=1).judge(LAWS["P140"])
    assert found.status == "pass"
    assert {label for label, status in found.labels.items() if status == "pass"} == {"heads with maps", "one head"}
    for law, missing in (("P140", "heads"), ("P141", "matrices")):
        refused = Examination(Headless(), scope, examples=1).judge(LAWS[law])
        assert (refused.status, refused.why) == ("unsupported", f"the backend declares no {missing}")


def test_a_backend_runs_as_many_units_without_heads():
    [law] = [law for law in LAWS.values() if law.id == "P01"]
    examination = Examination(Headless(), Scope((cells.lstm,)))
    seen = []
    watched = replace(law, check=lambda backend, case, judge: seen.append(case.net.layers[0].state_sizes),
                      cases=lambda scope: {"two heads": cases([Network(3, [HEADS])])})  # fmt: skip
    assert examination.judge(watched).status == "pass"
    assert {"h": 4, "c": 4} in seen

