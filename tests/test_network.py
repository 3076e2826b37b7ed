"""Networks: every part that does not fit is refused, and every shape is known."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest

import rnnspec
from rnnspec import Dense, Last, Layer, Network, Steps, cell, cells, losses, policies, updates
from rnnspec.errors import NetworkError, RnnSpecError
from rnnspec.initialisers import Zeros
from rnnspec.primitives import tanh


@dataclass
class Loose(policies.Recurrence):
    """Not frozen, so that nothing can be kept by it."""

    limit: float = 1.0


WRONG_LAYERS = {
    "a cell's name": {"cell": "lstm"},
    "a function": {"cell": lambda x, h: x.h},
    "no cell": {"cell": None},
    "no width": {"hidden": None},
    "a width of zero": {"hidden": 0},
    "a negative width": {"hidden": -3},
    "a truth value": {"hidden": True},
    "a real width": {"hidden": 64.0},
    "a string": {"hidden": "64"},
    "a list of pairs": {"hidden": [("h", 3), ("c", 3)]},
    "a tuple that is no pairs": {"hidden": (64,)},
    "widths without names": {"hidden": {1: 3}},
    "names of two kinds": {"hidden": {"h": 3, 1: 3}},
    "a width for nothing": {"hidden": {"h": 3, "c": 3, "q": 3}},
    "widths that differ": {"hidden": {"h": 3, "c": 4}},
    "a direction that is none": {"direction": "backward"},
    "a list as a direction": {"direction": ["forward"]},
    "no direction": {"direction": None},
    "a policy on finished gradients": {"gradient": policies.ClipByNorm(1.0)},
    "a number as a policy": {"gradient": 20},
    "a policy's class": {"gradient": policies.Truncated},
    "a policy that is no value": {"gradient": Loose()},
    "an initialiser for no map": {"initial": {"q": Zeros()}},
    "an initialiser for no map of a kind": {"initial": {"b.q": Zeros()}},
    "an initialiser that is none": {"initial": {"b": 1.0}},
    "an initialiser's class": {"initial": {"b": Zeros}},
    "an initialiser alone": {"initial": Zeros()},
    "no initialisers": {"initial": None},
}


DEEP = {
    "dicts": functools.reduce(lambda inner, _: {"h": inner}, range(100_000), 1),
    "lists": functools.reduce(lambda inner, _: [inner], range(100_000), 1),
    "tuples": functools.reduce(lambda inner, _: (inner,), range(100_000), 1),
}
TAKEN = {
    "a cell": lambda deep: Layer(deep, 3),
    "widths": lambda deep: Layer(cells.lstm, deep),
    "a width": lambda deep: Layer(cells.lstm, {"h": deep}),
    "a direction": lambda deep: Layer(cells.lstm, 3, deep),
    "a policy": lambda deep: Layer(cells.lstm, 3, gradient=deep),
    "initialisers": lambda deep: Layer(cells.lstm, 3, initial=deep),
    "an initialiser": lambda deep: Layer(cells.lstm, 3, initial={"b": deep}),
    "inputs": lambda deep: Network(deep, [Layer(cells.lstm, 3)]),
    "layers": lambda deep: Network(3, deep),
    "what is read": lambda deep: Network(3, [Layer(cells.lstm, 3)], deep),
    "an output layer": lambda deep: Network(3, [Layer(cells.lstm, 3)], output=deep),
    "features": lambda deep: Network(3, [Layer(cells.lstm, 3)], output=Dense(deep)),
    "a loss": lambda deep: Network(3, [Layer(cells.lstm, 3)], loss=deep),
    "a seed": lambda deep: Network(3, [Layer(cells.lstm, 3)]).init(deep),
    "steps of a policy": policies.Truncated,
    "a limit": policies.ClipByNorm,
    "a rate": updates.SGD,
    "a decay": lambda deep: updates.Adam(1e-3, deep),
    "a rule": rnnspec.chain,
    "a backend's name": rnnspec.get_backend,
    "a precision": lambda deep: rnnspec.get_backend("numpy", precision=deep),
    "a path of a backend": lambda deep: rnnspec.get_backend("numpy").through(deep),
    "a network": lambda deep: rnnspec.get_backend("numpy").run(deep, {}, []),
    "a tree": lambda deep: rnnspec.get_backend("numpy").asarray(deep),
}


@pytest.mark.parametrize("deep", DEEP)
@pytest.mark.parametrize("take", TAKEN.values(), ids=TAKEN)
def test_what_is_nested_without_end_is_refused_as_anything_else(take, deep):
    with pytest.raises(RnnSpecError) as caught:
        take(DEEP[deep])
    assert len(str(caught.value)) < 1000


class Unshowable:
    """Not even its name can be had."""

    def __repr__(self):
        raise ValueError("no")


def test_what_cannot_be_shown_is_named_by_its_type():
    with pytest.raises(NetworkError, match="a Unshowable that cannot be shown"):
        Layer(cells.lstm, Unshowable())


@pytest.mark.parametrize("wrong", WRONG_LAYERS.values(), ids=WRONG_LAYERS)
def test_a_wrong_layer_is_refused(wrong):
    with pytest.raises(NetworkError) as caught:
        Layer(**{"cell": cells.lstm, "hidden": 3, **wrong})
    assert all([caught.value.call, caught.value.must, caught.value.got, caught.value.do])


LAYER = Layer(cells.lstm, hidden=3)


class Unkept(losses.Loss):
    """A loss that nothing can be kept by."""

    integer_targets = False
    __hash__ = None

    def at(self, z, y):
        return z


WRONG_NETWORKS = {
    "no inputs": {"inputs": 0},
    "real inputs": {"inputs": 2.0},
    "a truth value": {"inputs": True},
    "no number": {"inputs": None},
    "no layers": {"layers": []},
    "None for layers": {"layers": None},
    "a layer alone": {"layers": LAYER},
    "a cell for a layer": {"layers": [cells.lstm]},
    "one that is none": {"layers": [LAYER, None]},
    "a class to read": {"read": Last},
    "a string to read": {"read": "last"},
    "nothing to read": {"read": None},
    "a reading that is neither": {"read": rnnspec.output.Read()},
    "a number as the output": {"output": 10},
    "an output of no features": {"output": Dense(0)},
    "an output of real features": {"output": Dense(2.0)},
    "an output without a number": {"output": Dense(None)},
    "an initialiser of the output for no map": {"output": Dense(2, initial={"U": Zeros()})},
    "no initialisers of the output": {"output": Dense(2, initial=None)},
    "a loss's name": {"loss": "softmax"},
    "a loss's class": {"loss": losses.SquaredError},
    "a loss that is no value": {"loss": Unkept()},
}


@pytest.mark.parametrize("wrong", WRONG_NETWORKS.values(), ids=WRONG_NETWORKS)
def test_a_wrong_network_is_refused(wrong):
    with pytest.raises(NetworkError) as caught:
        Network(**{"inputs": 2, "layers": [LAYER], **wrong})
    assert all([caught.value.call, caught.value.must, caught.value.got, caught.value.do])


def test_equal_declarations_are_equal_and_can_be_kept_by():
    def net(initial):
        return Network(2, [Layer(cells.lstm, {"c": 3, "h": 3}, initial=initial)], read=Last(), output=Dense(2))

    assert net({}) == net({"b": Zeros()})
    assert len({net({}), net({})}) == 1
    assert net({}) != Network(2, [Layer(cells.lstm, {"c": 3, "h": 3})], output=Dense(2))


def test_a_layer_can_be_copied_from_its_fields():
    layer = Layer(cells.lstm_projected, {"h": 2, "c": 3}, "reverse")
    assert Layer(layer.cell, layer.hidden, layer.direction) == layer


def test_layers_may_come_from_anything_that_is_walked_through():
    assert Network(2, (LAYER for _ in range(2))) == Network(2, [LAYER, LAYER])


def test_shapes_of_a_stack():
    net = Network(5, [Layer(cells.lstm, 3, "bidirectional"), Layer(cells.gru, 4, "reverse")], output=Dense(2))
    shapes = net.parameter_shapes()
    assert shapes["layers"][0].keys() == {"forward", "reverse"}
    assert shapes["layers"][1]["reverse"]["W"]["r"] == (4, 6)
    assert shapes["output"] == {"W": (2, 4), "b": (2,)}
    assert net.state_shapes(7) == [
        {"forward": {"h": (7, 3), "c": (7, 3)}, "reverse": {"h": (7, 3), "c": (7, 3)}}, {"reverse": {"h": (7, 4)}},
    ]  # fmt: skip
    assert net.features == 2
    assert [layer.width for layer in net.layers] == [6, 4]


def test_a_cell_of_one_s_own_takes_its_place_by_its_widths():
    mine = cell(lambda x, R, h: (rnnspec.out(tanh(R.y(h))), tanh(x.h + R.h(h))))
    net = Network(2, [Layer(mine, {"h": 3, "R.y": 5}, "bidirectional"), LAYER])
    assert net.layer_inputs(1) == 10


def test_steps_is_the_default():
    assert Network(2, [LAYER]).read == Steps()


def test_the_family():
    assert issubclass(NetworkError, RnnSpecError)
    assert issubclass(NetworkError, ValueError)
