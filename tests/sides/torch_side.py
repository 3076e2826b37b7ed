"""torch.nn: modules are called with packed sequences, gradients are autograd's."""

from __future__ import annotations

import warnings
from dataclasses import replace
from inspect import signature

import torch
from conversions import Answer, Sizes, network_gradients, networks, stacks
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnspec import Last
from rnnspec.convert import Note, from_torch, to_torch
from rnnspec.convert.layout import layout_for
from rnnspec.convert.layouts import TORCH
from rnnspec.tree import tree_map
from sides import Options

TABLE, PRECISION, DIRECTIONS = TORCH, "f64", ("forward", "bidirectional")
SIZES, BUILT_SIZES = Sizes(), Sizes(shortest=1)
"""A packed sequence has no rows of length 0."""
write, read = to_torch, from_torch


def writable(row):
    return stacks(row, TABLE, DIRECTIONS, SIZES)


def buildable(row):
    """A module has layers of one width and direction."""
    return networks([row.cell], DIRECTIONS, SIZES).map(
        lambda net: replace(net, layers=[net.layers[0]] * len(net.layers)))  # fmt: skip


def ask(model, question):
    lengths = None if question.given.lengths is None else torch.tensor(question.given.lengths)
    levels = [(module, i) for module in model.layers for i in range(module.num_layers)]
    rows = [layout_for(TORCH, layer.cell) for layer in question.net.layers]
    return pulled(lambda inputs, state: model(inputs, state, lengths), question, rows, levels, model.output)


def run_written(model, given):
    outputs, state = model(torch.tensor(given.inputs), tree_map(torch.tensor, given.state))
    return outputs.detach().numpy(), tree_map(lambda a: a.detach().numpy(), state)


def pulled(forward, question, rows, levels, head):
    """What a function of inputs and state computes, with the gradients of all that it is made of."""
    g, leaf = question.given, lambda a: torch.tensor(a, requires_grad=True)
    inputs, state = leaf(g.inputs), tree_map(leaf, g.state)
    outputs, final = forward(inputs, state)
    ends, seeds = [outputs], [torch.tensor(g.output_cotangent)]
    tree_map(lambda end, d: (ends.append(end), seeds.append(torch.tensor(d))), final, g.state_cotangent)
    torch.autograd.backward(ends, seeds)
    grad, array = lambda a: a.grad.numpy(), lambda a: a.detach().numpy()
    return Answer(array(outputs), tree_map(array, final), gradients(question.net, rows, levels, head), grad(inputs),
                  tree_map(grad, state))  # fmt: skip


def gradients(net, rows, levels, head):
    """Those of the maps; a level is a module and which of its layers, or None for a cell."""
    tensors = []
    for layer, row, (module, i) in zip(net.layers, rows, levels, strict=True):
        level = "" if i is None else f"_l{i}"
        own = dict(module.named_parameters())
        names = [name for name in row.tensors if name + level in own]
        suffixes = {half: f"{level}{'_reverse' if half == 'reverse' else ''}" for half in layer.halves}
        tensors.append({half: {name: own[name + suffix].grad.numpy() for name in names}
                        for half, suffix in suffixes.items()})  # fmt: skip
    own = None if head is None else {"W": head.weight.grad.numpy()}
    own = own if head is None or head.bias is None else own | {"b": head.bias.grad.numpy()}
    return network_gradients(rows, tensors, own)


def options(row):
    return st.builds(Options, st.booleans(), st.booleans())


def built(case, row, options):
    net, layer = case.net, case.net.layers[0]
    widths = layer.state_sizes
    more = {"proj_size": widths["h"]} if widths["h"] < max(widths.values()) else {}
    torch.manual_seed(case.seed)
    module = getattr(nn, row.kind)(net.inputs, max(widths.values()), len(net.layers), bias=options.bias,
                                   batch_first=options.batch_first, dtype=torch.float64,
                                   bidirectional=layer.direction == "bidirectional", **row.options, **more)  # fmt: skip
    head = nn.Linear(layer.width, net.features, options.bias, dtype=torch.float64) if net.output else None
    parts = [module] if head is None else [module, head]
    notes = {Note.SUMMED_BIASES} if options.bias else {Note.NO_BIAS}
    notes |= {Note.BATCH_FIRST} if options.batch_first else set()
    return parts, from_torch(*parts, read=net.read), notes


def ask_built(parts, question, row, options):
    (module, *heads), net, g = parts, question.net, question.given
    halves = [(i, half) for i, layer in enumerate(net.layers) for half in layer.halves]
    steps, names = len(g.inputs), [name for name in ("h", "c") if name in net.layers[0].cell.states]
    ends = torch.tensor([steps] * g.inputs.shape[1] if g.lengths is None else g.lengths)

    def forward(inputs, state):
        first = [torch.stack([state[i][half][name] for i, half in halves]) for name in names]
        steps_of = inputs.swapaxes(0, 1) if options.batch_first else inputs
        packed = pack_padded_sequence(steps_of, ends, options.batch_first, enforce_sorted=False)
        out, end = module(packed, tuple(first) if len(first) > 1 else first[0])
        end = end if len(first) > 1 else [end]
        out, _ = pad_packed_sequence(out, total_length=steps)
        read = torch.cat(list(end[0][-len(net.layers[-1].halves):]), -1) if isinstance(net.read, Last) else out
        values = heads[0](read) if heads else read
        if not isinstance(net.read, Last):
            values = torch.where((torch.arange(steps)[:, None] < ends)[..., None], values, 0.0)
        final = [{half: {} for half in layer.halves} for layer in net.layers]
        for k, (i, half) in enumerate(halves):
            final[i][half] = {name: a[k] for name, a in zip(names, end, strict=True)}
        return values, final

    levels = [(module, i) for i in range(module.num_layers)]
    return pulled(forward, question, [row] * len(levels), levels, heads[0] if heads else None)


def options_of(kind):
    more = {"RNN": {"nonlinearity"}, "LSTM": {"proj_size"}, "GRU": set()}[kind]
    return set(signature(nn.RNNBase).parameters) - {"mode", "proj_size"} | more


def part(kind, chosen):
    chosen = {"dtype": getattr(torch, chosen["dtype"])} if "dtype" in chosen else chosen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dropout of one layer, of which torch warns
        return from_torch(getattr(nn, kind)(**{"input_size": 3, "hidden_size": 4} | chosen))
