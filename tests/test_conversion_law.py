"""The law of conversions: a network and what it becomes compute the same, and there and back is the same to the bit.

For every row of every table, whichever way the weights go: outputs, final states, and where the other side has them
the gradients of inputs, initial states and every weight, are within the rounding that the precision allows.
"""

from __future__ import annotations

import pytest
from conversions import FEW, Question, cases, held, noted, same_network, same_params
from hypothesis import given
from hypothesis import strategies as st
from sides import BOTH_WAYS, opened

from conformance.cases import Case
from rnnspec import Dense, Last, Layer, Network, Steps, cells, get_backend
from rnnspec.convert.layouts import TABLES

ROWS = [(side, row) for side, rows in TABLES.items() for row in rows]
EVERY_ROW = pytest.mark.parametrize(("name", "row"), ROWS,
                                    ids=[f"{side}-{row.kind}-{row.cell.name}" for side, row in ROWS])  # fmt: skip

EMPTY = [Network(2, [Layer(cells.lstm, 3, "bidirectional"), Layer(cells.gru, 2)], read, head)
         for read, head in ((Last(), Dense(2)), (Steps(), None))]  # fmt: skip


def drawn(side, row):
    """A case over a stack that begins with the cell of a row, its cells perhaps under names of their own."""
    return cases(side.writable(row), side.SIZES)


@EVERY_ROW
@FEW
@given(st.data())
def test_what_is_written_computes_the_same(name, row, data):
    side = opened(name)
    case = data.draw(drawn(side, row))
    question = Question.of(case, side.PRECISION, held(side.TABLE, case, side.PRECISION))
    question.holds(side.ask(side.write(case.net, question.params).model, question))


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_all_cells_of_a_table_in_one_stack_compute_the_same(name):
    side = opened(name)
    layers = [Layer(row.cell, 3, "bidirectional") for row in side.TABLE if len(row.cell.width_classes) == 1]
    case = Case(Network(2, layers, Last(), Dense(2)), 4, 3, (4, side.SIZES.shortest, 2))
    question = Question.of(case, side.PRECISION, held(side.TABLE, case, side.PRECISION))
    question.holds(side.ask(side.write(case.net, question.params).model, question))


@pytest.mark.parametrize("name", ["torch.nn", "Flax nnx"])
@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (3, 0), (0, 0)])
@pytest.mark.parametrize("net", EMPTY, ids=lambda net: type(net.read).__name__)
def test_a_model_that_is_called_as_a_network_runs_on_nothing(name, net, steps, batch):
    side = opened(name)
    case = Case(net, steps, batch)
    question = Question.of(case, side.PRECISION, held(side.TABLE, case, side.PRECISION))
    outputs, state = side.run_written(side.write(net, question.params).model, question.given)
    expected = get_backend("numpy", precision=side.PRECISION).run(net, question.params, question.given.inputs,
                                                                  question.given.state)  # fmt: skip
    same_params((outputs, state), (expected.outputs, expected.state))


@EVERY_ROW
@FEW
@given(st.data())
def test_what_was_written_is_read_to_the_bit(name, row, data):
    side = opened(name)
    case = data.draw(drawn(side, row))
    params = held(side.TABLE, case, side.PRECISION)
    same_network(side.read(side.write(case.net, params).model), case.net, params)


@EVERY_ROW
@FEW
@given(st.data())
def test_what_is_read_computes_the_same(name, row, data):
    side = opened(name)
    case = data.draw(cases(side.buildable(row), side.BUILT_SIZES))
    options = data.draw(side.options(row))
    parts, found, notes = side.built(case, row, options)
    assert found.net == case.net
    assert noted(found.notes) == notes
    question = Question.of(case, side.PRECISION, found.params)
    question.holds(side.ask_built(parts, question, row, options))
