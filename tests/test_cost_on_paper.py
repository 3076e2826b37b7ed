"""What several workers cost on paper: the model counts the bytes that an exchange sends, and tables show them."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

import rnnspec
from backends.numpy_backend.group import MpiGroup
from rnnspec import Layer, Network, cells, losses
from rnnspec.tree import leaves
from rnnspec.workers import cost
from tests.workers.post import Post, posts
from tests.workers.threads import each

DOCS = Path(__file__).parents[1] / "docs"
NET = Network(3, [Layer(cells.lstm, 5)], loss=losses.SquaredError())


class Counted(Post):
    """A communicator that counts what it sends."""

    sent = 0

    def Isend(self, buffer, dest, tag):  # noqa: N802  # the name of MPI
        self.sent += buffer.nbytes
        return super().Isend(buffer, dest, tag)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_step_sends_the_bytes_of_the_paper(size):
    """To the next multiple of the workers, to which the vector is padded."""
    def sent(comm):
        be = rnnspec.get_backend("numpy").across(MpiGroup(comm, seconds=10.0))
        be.value_and_grad(NET, NET.init(0), np.zeros((2, 1, 3), np.float32), np.zeros((2, 1, 5), np.float32))
        return comm.sent

    counted = [Counted(comm.rank, comm.size, comm.queues) for comm in posts(size)]
    parameters = sum(np.prod(shape) for _, shape in leaves(NET.parameter_shapes()))
    padded = -(-cost.vector(int(parameters), size) // (4 * size)) * 4 * size
    assert each(sent, counted) == [cost.direct(padded, size).size] * size
    assert cost.direct(padded, size).size == cost.ring(padded, size).size


def test_a_ring_passes_each_part_around_twice():
    assert cost.ring(1200, 4) == cost.Moved(1800, 6)
    assert cost.ring(1200, 1) == cost.direct(1200, 1) == cost.Moved(0, 0)
    assert cost.direct(1200, 4) == cost.Moved(1800, 2)


def test_a_link_takes_its_latency_for_each_message_and_its_bandwidth_for_all_bytes():
    link = cost.Link(bandwidth=1000.0, latency=0.5)
    assert link.seconds(cost.Moved(2000, 3) + cost.Moved(1000, 1)) == 3.0 + 2.0
    assert link.seconds(cost.Moved(100, 1) * 3) == pytest.approx(1.8)


def test_states_are_handed_on_in_as_many_moments_as_a_wavefront_has():
    """Two layers in three windows: one, two, two and one of them run at a time, each way."""
    found = cost.handed_on([10, 100], 3, lambda size, _: cost.Moved(size, 1))
    assert found == cost.Moved(2 * (10 + 110 + 110 + 100), 2 * 4)
    assert cost.turns(2, 3) == 4
    assert cost.sent_on([10, 100], 3) == cost.Moved(2 * 3 * 100, 2 * 3)
    assert cost.sent_on([10], 1) == cost.Moved(0, 0)


def test_workers_gain_what_the_exchange_leaves():
    assert cost.gain(8, local=1.0, exchange=0.0) == 8
    assert cost.gain(8, local=1.0, exchange=1.0) == 4


def test_the_link_of_the_figures_is_the_one_that_the_seconds_come_from(figures):
    script, true = figures("cost_on_paper"), cost.Link(5e7, 3e-4)

    def row(elements):
        return {"elements": elements, "seconds": true.seconds(cost.Moved(*script.paper("gloo", 4, elements)))}

    latency, inverse = script.link("gloo", 4, row(1000), row(100_000))
    assert (latency, 1 / inverse) == pytest.approx((true.latency, true.bandwidth))


def test_the_tables_and_the_plot_show_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    tables = importlib.import_module("tables.cost")
    net = {"name": "net", "parameters": 10**6, "states": [1000, 3000], "local": 0.1}
    size = {"elements": 1000, "sent": 4004.0, "sent_on_paper": 4000.0, "seconds": 0.003, "seconds_on_paper": 0.002}
    group = {"engine": "mpi", "workers": 2, "latency": 1e-5, "bandwidth": 5e7,
             "sums": [size | {"fitted": False}, size | {"fitted": True}],
             "step": {"local": 0.01, "together": 0.03, "on_paper": 0.02}}  # fmt: skip
    text = "\n".join(tables.tables({"groups": [group], "networks": [net], "rows": 2, "steps": 3}))
    assert "| mpi | 2 | 4 | 1.001 | 3.00 | 2.00 | 1.50 |\n| mpi | 2 | 4 | 1.001 | 3.00 | 2.00 | fitted |" in text
    assert "| mpi | 2 | 800 | 10 | 10.0 | 30.0 | 20.0 | 1.50 |" in text
    eight = 8 * 0.1 / (0.1 + 14 * 50e-6 + 1.75 * cost.vector(10**6, 8) / 125e6)
    assert f"| net | 1,000,000 | 0.1 | {eight:.3g} / " in text
    assert "| net | 4 | " in text
