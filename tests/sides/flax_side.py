"""Flax nnx: modules run under jit, gradients are JAX's; one program serves all numbers and lengths of a structure."""

from __future__ import annotations

import warnings
from functools import reduce
from inspect import signature

import jax
import numpy as np
from conversions import Answer, Sizes, network_gradients, under_other_names
from flax import nnx
from hypothesis import strategies as st

from rnnspec import Dense, Last, Layer, Network, Steps
from rnnspec.convert import Note, from_flax, to_flax
from rnnspec.convert.layout import layout_for
from rnnspec.convert.layouts import FLAX
from rnnspec.tree import tree_map
from sides import Options

TABLE, PRECISION = FLAX, "f64"
SIZES, BUILT_SIZES = (Sizes((4,), (3,), shortest, full=False) for shortest in (0, 1))
"""nnx.RNN has no rows of length 0."""
DOUBLE = {"dtype": np.float64, "param_dtype": np.float64}
DRAWN = nnx.initializers.uniform(1.0)
"""One initialiser for all: the usual ones compile a program for each shape."""
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""A program runs a few times on a few numbers: what takes long is to compile it."""


def write(net, params):
    with jax.enable_x64(True):
        return to_flax(net, params)


def read(*parts, **options):
    with jax.enable_x64(True):
        return from_flax(*parts, **options)


def writable(row):
    """One structure for each row, under other names: a program is compiled for each."""
    return st.just(under_other_names(structure(row), 1))


def buildable(row):
    return st.just(structure(row))


def options(row):
    odd = TABLE.index(row) % 2 == 1
    return st.just(Options(bias=not odd, batch_first=odd))


def structure(row):
    k = TABLE.index(row)
    layers = [Layer(row.cell, 3, ("bidirectional", "reverse", "forward")[k % 3])]
    layers += [Layer(row.cell, 2, "reverse")] if k == 0 else []
    return Network(2, layers, Steps() if k % 2 else Last(), Dense(2) if k % 3 < 2 else None)


def built(case, row, options):
    """RNNs of cells, and a Linear; `batch_first` says that they are not time_major."""
    net, rngs, major = case.net, nnx.Rngs(case.seed % 1000), not options.batch_first
    made = {name: getattr(nnx, value) if isinstance(value, str) else value for name, value in row.options.items()}

    def rnn(layer, inputs, half):
        cell = getattr(nnx, row.kind)(inputs, layer.half_width, kernel_init=DRAWN, recurrent_kernel_init=DRAWN,
                                      bias_init=DRAWN, rngs=rngs, **DOUBLE, **made)  # fmt: skip
        return nnx.RNN(cell, time_major=major, reverse=half == "reverse", keep_order=True)

    with jax.enable_x64(True):
        parts = []
        for i, layer in enumerate(net.layers):
            rnns = [rnn(layer, net.layer_inputs(i), half) for half in layer.halves]
            parts.append(rnns[0] if len(rnns) == 1 else nnx.Bidirectional(*rnns, time_major=major))
        if net.output:
            parts.append(nnx.Linear(net.layers[-1].width, 2, use_bias=options.bias, kernel_init=DRAWN, bias_init=DRAWN,
                                    rngs=rngs, **DOUBLE))  # fmt: skip
    notes = {Note.NO_INNER_BIAS} if row.absent else set()
    notes |= {Note.NO_BIAS} if net.output and not options.bias else set()
    notes |= {Note.BATCH_FIRST} if options.batch_first else set()
    return parts, read(*parts, read=net.read), notes


def ask(model, question):
    heads = ("output",) if question.net.output else ()
    layers = question.net.layers
    places = [{half: ("layers", i, half, "cell") for half in layer.halves} for i, layer in enumerate(layers)]
    rows = [layout_for(FLAX, layer.cell) for layer in layers]
    return pulled(call_model, (), model, question, rows, places, heads)


def run_written(model, given):
    with jax.enable_x64(True):
        return tree_map(np.array, model(*tree_map(jax.numpy.asarray, (given.inputs, given.state))))


def call_model(model, inputs, state, lengths):
    return model(inputs, state, lengths)


def ask_built(parts, question, row, options):
    net, places = question.net, []
    for i, layer in enumerate(net.layers):
        both = {"forward": (i, "forward_rnn", "cell"), "reverse": (i, "backward_rnn", "cell")}
        places.append({half: both[half] if len(layer.halves) > 1 else (i, "cell") for half in layer.halves})
    heads = (len(parts) - 1,) if net.output else ()
    return pulled(run, (net, options.batch_first), nnx.List(parts), question, [row] * len(places), places, heads)


def run(net, batch_first, parts, inputs, state, lengths):
    """What nnx's own parts give one after the other, in our layout."""
    def turn(a):
        return a.swapaxes(0, 1) if batch_first else a

    values, final = turn(inputs), []
    real = (jax.numpy.arange(len(inputs))[:, None] < lengths)[..., None]
    for layer, part, own in zip(net.layers, parts, state, strict=False):
        names = ("c", "h") if "c" in layer.cell.states else ("h",)
        carries = [tuple(own[half][name] for name in names) for half in layer.halves]
        carries = [carry if len(names) > 1 else carry[0] for carry in carries]
        ends, values = part(values, initial_carry=tuple(carries) if len(carries) > 1 else carries[0],
                            seq_lengths=lengths, return_carry=True)  # fmt: skip
        ends = ends if len(carries) > 1 else (ends,)
        ends = [end if len(names) > 1 else (end,) for end in ends]
        final.append({half: dict(zip(names, end, strict=True)) for half, end in zip(layer.halves, ends, strict=True)})
    read = isinstance(net.read, Last)
    values = jax.numpy.concatenate([final[-1][half]["h"] for half in net.layers[-1].halves], -1) if read else values
    values = parts[-1](values) if net.output else values
    return values if read else jax.numpy.where(real, turn(values), 0.0), final


def program(call, fixed, definition, weights, rest, given, lengths, cotangents):
    def forward(weights, inputs, state):
        return call(*fixed, nnx.merge(definition, weights, rest), inputs, state, lengths)

    answer, pull = jax.vjp(forward, weights, *given)
    return answer, pull(cotangents)


PROGRAM = jax.jit(program, static_argnums=(0, 1, 2), compiler_options=QUICK)


def pulled(call, fixed, model, question, rows, places, heads):
    """What a call of a model computes, with all gradients; `places` lead to the cells of each half."""
    g = question.given
    with jax.enable_x64(True):
        arrays = tree_map(jax.numpy.asarray, (g.inputs, g.state))
        cotangents = tree_map(jax.numpy.asarray, (g.output_cotangent, g.state_cotangent))
        found = PROGRAM(call, fixed, *nnx.split(model, nnx.Param, ...), arrays, g.lengths, cotangents)
        (outputs, final), (grads, *others) = found
    grads = tree_map(np.array, nnx.to_pure_dict(grads))
    outputs, final, dx, first = tree_map(np.array, (outputs, final, *others))
    tensors = [{half: {name: at(at(grads, path), name.split(".")) for name in row.tensors}
                for half, path in own.items()} for row, own in zip(rows, places, strict=True)]  # fmt: skip
    head = at(grads, heads) if heads else None
    head = head and {"W": head["kernel"].T} | ({"b": head["bias"]} if "bias" in head else {})
    return Answer(outputs, final, network_gradients(rows, tensors, head), dx, first)


def at(tree, path):
    return reduce(lambda part, name: part[name], path, tree)


def options_of(kind):
    return set(signature(getattr(nnx, kind).__init__).parameters) - {"self", "rngs"}


def part(kind, chosen):
    given = {"gelu": nnx.gelu, "tanh": nnx.tanh, "ones_init": nnx.initializers.ones_init(), "float16": np.float16,
             "promotion": lambda *_, **__: None}  # fmt: skip
    chosen = {name: given.get(value, value) if isinstance(value, str) else value for name, value in chosen.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # carry_init, which Flax deprecates
        cell = getattr(nnx, kind)(**{"in_features": 3, "hidden_features": 4, "kernel_init": DRAWN,
                                       "recurrent_kernel_init": DRAWN, "rngs": nnx.Rngs(0)} | chosen)  # fmt: skip
    return from_flax(cell)
