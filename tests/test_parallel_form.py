"""The parallel form of a cell: groups of states, factors, maxima, writes, reads, and the reasons why there is none."""

import pytest

from conformance.cases.equations import read
from rnnspec import cells
from rnnspec.derivation.affine import Affinity, NotAffine
from rnnspec.derivation.components import components
from rnnspec.derivation.parallel import Chunks, Scan, parallel
from rnnspec.derivation.semirings import LINEAR, TROPICAL
from rnnspec.derivation.tropical import maximum_of
from rnnspec.tracing.graph import GraphBuilder


def cell_of(arguments, *lines):
    return read(f"@cell\ndef odd({arguments}):\n" + "".join(f"    {line}\n" for line in lines))


def stages(cell):
    form = parallel(cell)
    assert not isinstance(form, str), form
    return form.stages


class TestComponents:
    def test_states_that_read_each_other_are_one_group(self):
        cell = cell_of("x, h, c, d, m", "return h + m, d + x.a, 0.5 * c, x.b * m")
        assert components(cell.graph, cell.states) == (("m",), ("h",), ("c", "d"))

    def test_a_matrix_comes_after_its_queries(self):
        cell = cell_of("x, S, h, c", "return out((h + c) @ S), 0.5 * S + outer(x.k, x.v), h - c, h + x.a * c")
        assert components(cell.graph, cell.states) == (("h", "c"), ("S",))

    def test_a_width_is_no_dependence(self):
        cell = cell_of("x, h, c", "return h / width(c), c + h")
        assert components(cell.graph, cell.states) == (("h",), ("c",))


def form_of(equation, state="h"):
    """The builder, the leaf, and the node of the new value of a state."""
    cell = cell_of("x, p, h", f"return {equation}")
    builder = GraphBuilder(list(cell.graph.nodes))
    leaf = next(i for i, node in enumerate(builder.nodes) if (node.op, node.name) == ("state", state))
    return builder, leaf, cell.graph.result(state)


class TestAffinity:
    @pytest.mark.parametrize(("equation", "factor", "rest"), [
        ("h", "constant", None), ("-h", "negate", None), ("x.a * h", "input", None), ("h / x.a", "divide", None),
        ("x.a * h + x.b", "input", "input"), ("h - x.b", "constant", "negate"), ("x.b - h", "negate", "input"),
        ("where(x.a > 0, h, x.b)", "where", "where"), ("stop(x.a * h)", "input", None),
    ])  # fmt: skip
    def test_factor_and_rest(self, equation, factor, rest):
        builder, leaf, new = form_of(equation)
        found = Affinity(builder, {leaf}).of(new)
        assert builder.nodes[found.factors[leaf]].op == factor
        assert (found.rest and builder.nodes[found.rest].op) == rest

    @pytest.mark.parametrize(("equation", "op", "mixed"), [
        ("tanh(h)", "tanh", False), ("h * h", "multiply", False), ("x.a / h", "divide", False),
        ("where(h > 0, x.a, x.b)", "where", False), ("x.a * total(h)", "total", True),
    ])  # fmt: skip
    def test_what_is_bent_or_mixed_is_named(self, equation, op, mixed):
        builder, leaf, new = form_of(equation)
        with pytest.raises(NotAffine) as found:
            Affinity(builder, {leaf}).of(new)
        assert (str(found.value), found.value.mixed) in ((op, mixed), ("greater", False))


class TestMaximum:
    @pytest.mark.parametrize(("equation", "shift", "floor"), [
        ("maximum(h + x.f, x.i)", "add", "input"), ("maximum(x.i, h - x.f)", "subtract", "input"),
        ("maximum(h, x.i) + x.f", "add", "add"), ("maximum(maximum(h + x.f, x.i), h)", "maximum", "input"),
    ])  # fmt: skip
    def test_shift_and_floor(self, equation, shift, floor):
        builder, leaf, new = form_of(equation)
        found = maximum_of(builder, leaf, new)
        assert (builder.nodes[found.shift].op, builder.nodes[found.floor].op) == (shift, floor)

    @pytest.mark.parametrize("equation", ["minimum(h, x.i)", "maximum(2 * h, x.i)", "maximum(x.i - h, x.f)"])
    def test_others_are_refused(self, equation):
        builder, leaf, new = form_of(equation)
        with pytest.raises(NotAffine):
            maximum_of(builder, leaf, new)


class TestStages:
    def test_a_stabiliser_is_a_scan_of_maxima_whose_cotangents_are_linear(self):
        (found,) = stages(cell_of("x, m", "return maximum(m + x.f, x.i)"))
        assert (found.semiring, len(found.factors), len(found.back)) == (TROPICAL, 1, 1)

    def test_a_pair_is_one_scan(self):
        (found,) = stages(cells.lru)
        assert isinstance(found, Scan)
        assert found.semiring is LINEAR
        assert {pair for pair, _ in found.factors} == {(s, t) for s in found.states for t in found.states}

    @pytest.mark.parametrize(("new", "rows"), [("outer(x.a, 1) * S + outer(x.k, x.v)", True),
                                               ("outer(1, x.a) * S + outer(x.v, x.k)", False)])  # fmt: skip
    def test_keys_stand_along_the_axis_that_decays(self, new, rows):
        product = "x.q @ T" if rows else "T @ x.q"
        (found,) = stages(cell_of("x, S", f"T = {new}", f"return out({product}), T"))
        assert isinstance(found, Chunks)
        assert (found.keys_are_rows, len(found.keys), found.before, found.fed) == (rows, 1, 0, 0)

    def test_what_a_write_reads_feeds_back(self):
        (found,) = stages(cell_of("x, S", "k = tanh(x.k)", "T = S + outer(k, number(x.b) * (x.v - k @ S))",
                                  "return out(x.q @ T + x.q @ S), T"))  # fmt: skip
        assert (found.before, found.fed, len(found.reads), [pair for pair, _ in found.feedback]) == (2, 1, 3, [(0, 0)])

    def test_writes_under_one_key_are_one(self):
        (found,) = stages(cell_of("x, S", "k = tanh(x.k)", "T = S + outer(k, x.v) - outer(k, x.w) + outer(x.u, x.w)",
                                  "return out(x.q @ T), T"))  # fmt: skip
        assert len(found.keys) == 2

    @pytest.mark.parametrize("lines", [
        ("T = outer(1, x.a) * S", "return out(T @ x.q), T"),
        ("T = 0.5 * S + outer(x.k, x.v)", "return out(x.k), T"),
        ("T = sigmoid(p.A) * S + outer(x.k, x.v)", "return out(x.q @ T), T"),
        ("T = 0.5 * S + outer(x.k, x.v)", "return out(x.q @ tanh(T)), T"),
    ], ids=["no write", "no read", "a decay of each entry", "a bent read"])  # fmt: skip
    def test_other_matrices_run_entry_by_entry(self, lines):
        (found,) = stages(cell_of("x, p, S", *lines))
        assert isinstance(found, Scan)

    @pytest.mark.parametrize(("cell", "reason"), [
        (cells.lstm, "map"), (cells.indrnn, "relu"),
        (cell_of("x, S", "T = S + outer(x.k, tanh(x.k @ S))", "return out(x.q @ T), T"), "matmul"),
        (cell_of("x, S", "T = S + outer(x.k @ S, x.v)", "return out(x.q @ T), T"), "matmul"),
        (cell_of("x, S, M", "return out(x.q @ S), M + outer(x.k, x.v), outer(1, x.q @ S) * M"), "matmul"),
    ])  # fmt: skip
    def test_a_cell_without_a_form_says_what_bends_or_mixes(self, cell, reason):
        assert parallel(cell) == f"a step that is not affine in its state ({reason})"


@pytest.mark.parametrize(("lines", "spares"), [
    (["return x.a * h + x.b, c + x.c"], (False, False)),
    (["return sigmoid(x.a) * h + tanh(x.b), c"], (False, False)),
    (["return sigmoid(x.a + c) * h + x.b, x.c"], (True, True)),
    (["return x.a * h + R.b(c), x"], (True, True)),
    (["return sqrt(1 - c * c) * h + x.b, x.c"], (False, True)),
    (["return out(tanh(h)), x.a * h, x.c"], (False, False)),
], ids=str)  # fmt: skip
def test_what_a_form_spares_the_loop_is_read_from_the_schedule(lines, spares):
    form = parallel(cell_of("x, R, h, c", *lines))
    assert (form.spares(False), form.spares(True)) == spares
