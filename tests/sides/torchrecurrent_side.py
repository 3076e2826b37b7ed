"""torchrecurrent: layers are called with a state for all of their cells, gradients are autograd's."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature

import torch
import torchrecurrent
from conversions import READS, Sizes, networks, stacks, widths_of
from hypothesis import strategies as st
from torch import nn

from rnnspec import Dense, Last, Layer, Network
from rnnspec.convert import Note, from_torchrecurrent, to_torchrecurrent
from rnnspec.convert.layout import layout_for
from rnnspec.convert.layouts import TORCHRECURRENT
from rnnspec.convert.torchrecurrent_network import HardSigmoid
from sides import Options, torch_side

TABLE, PRECISION = TORCHRECURRENT, "f64"
SIZES = BUILT_SIZES = Sizes(ragged=False)
FUNCTIONS = {"HardSigmoid": HardSigmoid}
write, read = to_torchrecurrent, from_torchrecurrent


FREE = [row for row in TABLE if not row.cell.reads_input]
"""The cells whose width is not that of the input."""


def writable(row):
    return square(row.cell) if row.cell.reads_input else stacks(row, FREE, ("forward",), SIZES)


def buildable(row):
    """A layer has cells of one kind and width."""
    return square(row.cell) if row.cell.reads_input else networks([row.cell], ("forward",), SIZES).map(
        lambda net: replace(net, layers=[net.layers[0]] * len(net.layers)))  # fmt: skip


@st.composite
def square(draw, cell):
    """Networks of one cell in which all widths are one number."""
    width, many = draw(st.sampled_from(SIZES.hidden)), draw(st.integers(1, 2))
    layers = [Layer(cell, widths_of(cell, width, width)[1])] * many
    return Network(width, layers, draw(st.sampled_from(READS)), draw(st.sampled_from((None, Dense(2)))))


def options(row):
    return st.builds(Options, st.booleans(), st.booleans())


def options_of(kind):
    return set(signature(getattr(torchrecurrent, f"{kind}Cell")).parameters)


def layer(row, inputs, hidden, **options):
    """A layer of a row by the library's own constructor, with what must be fixed."""
    given = row.of(row.cell).options
    functions = {name: FUNCTIONS[value]() if value in FUNCTIONS else value for name, value in given.items()}
    made = getattr(torchrecurrent, row.kind)(inputs, hidden, **functions | options)
    for cell in made.cells:
        for tensor, maps in row.places():
            if "I" in maps:
                rows = slice(maps.index("I") * hidden, (maps.index("I") + 1) * hidden)
                getattr(cell, tensor).data[rows] = torch.eye(hidden)
    return made


def part(kind, chosen):
    row = next(row for row in TABLE if row.kind == kind)
    return from_torchrecurrent(layer(row, 4, 4, **chosen))


def ask(model, question):
    levels = [(module.cells[0], None) for module in model.layers]
    rows = [layout_for(TABLE, layer.cell) for layer in question.net.layers]
    return torch_side.pulled(model, question, rows, levels, model.output)


def built(case, row, options):
    """A layer with drawn numbers in all biases, but where the cell has no such bias."""
    net = case.net
    [hidden] = {width for own in net.layers for width in own.state_sizes.values()}
    torch.manual_seed(case.seed)
    flags = {name: options.bias for name in options_of(row.kind) if name.endswith("bias")}
    module = layer(row, net.inputs, hidden, num_layers=len(net.layers), batch_first=options.batch_first,
                   dtype=torch.float64, **flags)  # fmt: skip
    has_none = [tensor for tensor, maps in row.places() if "0" in maps]
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            if "bias" in name and name.rpartition(".")[2] not in has_none:
                tensor.uniform_(-1.0, 1.0)
    head = nn.Linear(net.layers[-1].width, net.features, dtype=torch.float64) if net.output else None
    parts = [module] if head is None else [module, head]
    biases = [name for name in row.optional if options.bias and name not in has_none]
    summed = any(row.repeated.intersection(row.tensors[name].split()) for name in biases if name != "bias_ih")
    notes = {Note.SUMMED_BIASES} if summed else set()
    held = any("." in row.tensors[tensor] for tensor in row.optional)
    notes |= {Note.NO_BIAS} if held and not options.bias else set()
    notes |= {Note.LEARNED} if "beta" in row.constants else set()
    notes |= {Note.BATCH_FIRST} if options.batch_first else set()
    return parts, from_torchrecurrent(*parts, read=net.read), notes


def ask_built(parts, question, row, options):
    (module, *heads), net = parts, question.net
    double = module.cells[0].uses_double_state()
    states = row.states * (1 + double - (len(row.states) > 1))

    def forward(inputs, state):
        first = [torch.stack([own["forward"][name] for own in state]) for name in states]
        values, end = module(inputs.swapaxes(0, 1) if options.batch_first else inputs, first if double else first[0])
        values = values.swapaxes(0, 1) if options.batch_first else values
        values = values[-1] if isinstance(net.read, Last) else values
        ends = end if double else [end]
        final = [{"forward": {name: a[i] for name, a in zip(states, ends, strict=True)}}
                 for i in range(len(net.layers))]  # fmt: skip
        return heads[0](values) if heads else values, final

    levels = [(cell, None) for cell in module.cells]
    return torch_side.pulled(forward, question, [row] * len(levels), levels, heads[0] if heads else None)
