"""Cells in parallel over time and step by step: the published ones, and such as nobody would write."""

import pytest

import rnnspec
from conformance.cases import PUBLISHED
from conformance.cases.equations import read
from rnnspec import Network
from rnnspec.derivation.parallel import parallel
from tests.parallel_runs import agree, layer_of

FORMED = [cell for cell in PUBLISHED.values() if cell.states and not isinstance(parallel(cell), str)]

ODD = {
    "two states with one result": """x, h, c
        u = sigmoid(x.a) * h + x.b
        return u, u""",
    "a delay line": """x, p, h, c, d
        return p.a * h + x.b + d, h, c""",
    "the input of the step before": """x, R, h, c
        return out(R.a(c) + R.b(h)), x, h""",
    "three in a circle": """x, p, h, c, d
        return 0.5 * c + p.a * d, d + x.b * h, 0.5 * h + x.a""",
    "a state that is divided by its width": """x, h
        return h / width(h) + x.a - mean(x.a)""",
    "choices": """x, h, c
        return where(x.a > 0, h, c), where(x.a > 0, 0.5 * c, x.b)""",
    "numbers that read each other": """x, n, m
        return number(x.a) * number(n) + number(m), number(m) - 0.5 * number(n)""",
    "a counter": """x, h, age
        n = number(age) + 1
        return out(h), where(remainder(n, 3) < 1, 0.5 * h + x.a, h), n""",
    "a maximum of two shifts": """x, p, m
        return maximum(maximum(m - softplus(x.f), x.i), m + p.d)""",
    "a maximum of matrices": """x, S
        S = maximum(S - softplus(number(x.a)), outer(x.k, x.v))
        return out(x.q @ S), S""",
    "a matrix with a learned decay of each entry": """x, p, S
        S = sigmoid(p.A) * S + outer(x.k, x.v)
        return out(x.q @ S), S""",
    "a matrix times a number, entry by entry": """x, S
        S = S / (1 + sigmoid(number(x.n))) + outer(x.a, x.b) * outer(x.k, x.v) + outer(x.k, tanh(x.v))
        return out(x.q @ tanh(S)), S""",
    "a matrix that nothing is written to": """x, S
        T = outer(1, sigmoid(x.k)) * S
        return out(T @ x.q), T""",
    "a matrix that nothing reads": """x, S, h
        return out(h), sigmoid(number(x.n)) * S + outer(x.k, x.v), x.a * h + x.b""",
    "a matrix that is read along both axes": """x, R, S
        S = 0.5 * S + outer(x.k, x.v)
        return out(x.q @ S + R.a(S @ x.b)), S""",
    "a matrix that forgets all": """x, S
        T = 0 * S + outer(x.k, x.v)
        return out(x.q @ T + x.q @ S), T""",
    "queries and keys that are learned": """x, p, S
        T = 0.5 * S + outer(p.k, x.v)
        return out(p.q @ T + 1 @ S), T""",
    "writes under one key": """x, S
        k = tanh(x.k)
        T = 0.5 * S + outer(k, x.v) + outer(k, x.w) - outer(k, k @ S)
        return out(x.q @ T), T""",
    "writes that read under other keys": """x, S
        k, q = tanh(x.k), tanh(x.q)
        T = 0.5 * S + outer(k, x.v - 0.5 * (q @ S)) + outer(q, number(x.b) * (k @ S))
        return out(q @ T + k @ S), T""",
    "keys that are a state, before and after": """x, h, S
        g = sigmoid(x.a) * h + x.b
        T = outer(tanh(g), 1) * S + outer(h, g)
        return out(g @ T + h @ S), g, T""",
    "queries that are a pair of vectors": """x, h, c, S
        g = h - x.u * c + x.o
        T = 0.5 * S + outer(x.k, x.v)
        return out(g @ S + (h + c) @ T), g, x.u * h + c, T""",
    "queries that a read has made": """x, h, S
        T = 0.5 * S + outer(x.k, x.v)
        r = x.q @ T
        return out(r + h @ T), sigmoid(r) * h + r, T""",
    "a matrix that reads another": """x, S, M
        T = 0.5 * S + outer(x.k, x.v)
        r = tanh(x.q @ T)
        N = outer(1, sigmoid(r)) * M + outer(x.u, r) / (1 + width(r))
        return out(N @ r), T, N""",
    "a state that is a read": """x, h, S
        T = 0.5 * S + outer(x.k, x.v)
        return x.q @ T, T""",
    "parts of a matrix, read after scaling": """x, S
        T = 0.5 * S + 0.25 * S - outer(x.d, 1) * S + outer(x.k, x.v)
        return out(x.q @ (T - S) + x.q @ (outer(x.a, 1) * T + outer(x.b, x.v))), T""",
    "a decay whose gradient is stopped": """x, S
        T = stop(0.5 * S) + outer(x.k, x.v)
        return out(x.q @ T), T""",
}  # fmt: skip
"""The arguments and equations of cells."""


def declared(source):
    arguments, *lines = (line.strip() for line in source.splitlines())
    return read(f"@cell\ndef odd({arguments}):\n" + "".join(f"    {line}\n" for line in lines))


@pytest.fixture(scope="module", params=["numpy", "torch"])
def backend(request):
    return rnnspec.get_backend(request.param, precision="f64")


def test_the_cells_with_a_form_are_known():
    assert len(FORMED) == 25


@pytest.mark.parametrize("cell", FORMED, ids=lambda cell: cell.name)
def test_a_published_cell_gives_the_numbers_of_its_steps(backend, cell):
    layer = layer_of(cell, heads=2 if len(cell.name) % 2 else None)
    agree(backend, Network(6, [layer]), steps=19, chunk=8)
    agree(backend, Network(6, [layer_of(cell)]), steps=2, chunk=4, ragged=False, resets=False)


@pytest.mark.parametrize("name", ODD)
def test_a_cell_that_nobody_wrote_gives_the_numbers_of_its_steps(name):
    cell, backend = declared(ODD[name]), rnnspec.get_backend("numpy", precision="f64")
    for steps, heads, chunk in ((1, None, 4), (9, None, 4), (33, 2, 8)):
        agree(backend, Network(6, [layer_of(cell, heads)]), steps, chunk=chunk, ragged=steps > 1, resets=steps > 9)


@pytest.mark.parametrize("widths", [(1, 1, 1, 1, 1), (1, 3, 1, 3, 1), (3, 1, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("cell", [cell for cell in FORMED if parallel(cell).has_chunks], ids=lambda cell: cell.name)
def test_widths_of_one_are_no_exception(cell, widths):
    backend = rnnspec.get_backend("numpy", precision="f64")
    agree(backend, Network(2, [layer_of(cell, 2, widths=widths)]), steps=7, chunk=4)


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_every_kind_of_stage_on_backends_that_compile(name):
    """A maximum of sums, a matrix and a vector."""
    backend, witness = (rnnspec.get_backend(each, precision="f64") for each in (name, "numpy"))
    agree(backend, Network(6, [layer_of(rnnspec.cells.mlstm)]), steps=3, chunk=2, witness=witness)
