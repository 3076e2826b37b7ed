"""What rnnspec says is affine in a cell, against numbers: blends of states, Jacobians by differences, ranks."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import rnnspec
from conformance.cases import drawn_cells
from rnnspec import Cell, Layer, Network, cell, cells, linearity, out
from rnnspec.derivation.parallel import parallel
from rnnspec.derivation.structure import Bend, Factor, Kind
from rnnspec.errors import ArgumentError
from rnnspec.primitives import outer, relu, sin, stop, tanh, total, where

CELLS = {name: value for name, value in vars(cells).items() if isinstance(value, Cell)}
WIDTH = 6
"""Wide enough for the ranks of blocks beside the diagonal, which are up to 2."""
TOLERANCE = 1e-9


class Probe:
    """One step of a cell at random numbers, as a function of one group of states or of their cotangents."""

    def __init__(self, backend, given, seed):
        rng = np.random.default_rng(seed)
        free = (members - {""} for members in given.width_classes if not members & {*given.numbers, "x"})
        self.net = Network(WIDTH, [Layer(given, {min(members): WIDTH for members in free})])
        self.backend, self.shapes = backend, self.net.state_shapes(1)[0]["forward"]
        self.params = rnnspec.tree.tree_map(lambda a: rng.normal(size=a.shape), self.net.init(0))
        self.x = rng.normal(size=(1, 1, WIDTH))
        self.outputs = rng.normal(size=(1, 1, self.net.features))
        self.states, self.cotangents = ({s: rng.normal(size=shape) for s, shape in self.shapes.items()} for _ in "ab")
        self.rng = rng

    def width(self, group):
        return sum(math.prod(self.shapes[s]) for s in group)

    def put(self, group, values):
        """The states of a group from rows of all their entries."""
        ends = np.cumsum([math.prod(self.shapes[s]) for s in group])
        parts = np.split(values, ends[:-1], 1)
        return {s: part.reshape(-1, *self.shapes[s][1:]) for s, part in zip(group, parts, strict=True)}

    def step(self, group, values, is_back):
        """The new entries of a group for rows of old ones; everything else is the same in each row."""
        rows = len(values)
        held = self.cotangents if is_back else self.states
        given = {s: np.repeat(a, rows, 0) for s, a in held.items()} | self.put(group, values)
        x = np.repeat(self.x, rows, 1)
        with np.errstate(all="ignore"):
            if is_back:
                states = [{"forward": {s: np.repeat(a, rows, 0) for s, a in self.states.items()}}]
                outputs = np.repeat(self.outputs, rows, 1)
                found = self.backend.pullback(self.net, self.params, x, outputs, [{"forward": given}], states).state
            else:
                found = self.backend.run(self.net, self.params, x, [{"forward": given}]).state
        return np.concatenate([found[0]["forward"][s].reshape(rows, -1) for s in group], 1)

    def blends(self, group, is_back):
        """How far the step of a blend is from the blend of the steps."""
        share, (one, other) = 0.3, self.rng.normal(size=(2, 5, self.width(group)))
        at, b, c = (self.step(group, v, is_back) for v in (share * one + (1 - share) * other, one, other))
        return np.abs(at - (share * b + (1 - share) * c)).max()

    def jacobian(self, group, is_back):
        """The factors of a step that is affine (entries before, entries after), and the step of zeros."""
        found = self.step(group, np.concatenate([np.zeros((1, self.width(group))), np.eye(self.width(group))]), is_back)
        with np.errstate(invalid="ignore"):
            return found[1:] - found[0], found[0]


def near(a, b, scale=1.0):
    return np.abs(np.asarray(a) - b).max(initial=0.0) <= TOLERANCE * (1 + scale)


def has_entries(found, probe, group, factors):
    """Whether no entry depends on another one, and the factors are as wide as is said."""
    ends = np.cumsum([0, *(math.prod(probe.shapes[s]) for s in group)])
    scale = np.abs(factors).max()
    for i, s in enumerate(group):
        for j, t in enumerate(group):
            part = factors[ends[i] : ends[i + 1], ends[j] : ends[j + 1]]
            if probe.shapes[s] == probe.shapes[t]:
                own = np.diag(part)
                if not near(part, np.diag(own), scale) or not is_wide(found.factor, own.reshape(probe.shapes[s][1:])):
                    return False
    return True


def is_wide(factor, own):
    """Whether factors are alike as far as their kind says."""
    scale = np.abs(own).max()
    alike = {Factor.ONE: 1.0, Factor.NUMBER: own.flat[0], Factor.VECTOR: own, Factor.MATRIX: own,
             Factor.ROWS: own[..., :1], Factor.COLUMNS: own[:1]}  # fmt: skip
    return near(own, alike[factor], scale)


def is_shifted_maximum(probe, group):
    one, other = probe.rng.normal(size=(2, 5, probe.width(group))) * 3
    joined, b, c = (probe.step(group, v, False) for v in (np.maximum(one, other), one, other))
    high = [probe.step(group, np.full((1, probe.width(group)), 1e3 + k), False) for k in (0, 1)]
    return near(joined, np.maximum(b, c)) and near(high[1] - high[0], 1.0, 1e3)


def keyed(found, probe, state, factors):
    """The matrix that multiplies each column of values, where the keys lie along the rows; None where there is none."""
    rows, columns = probe.shapes[state][1:]
    full = factors.reshape(rows, columns, rows, columns)
    full = full if found.keys_are_rows else full.transpose(1, 0, 3, 2)
    own = full[:, 0, :, 0]
    expected = np.einsum("kl,vw->kvlw", own, np.eye(full.shape[1]))
    return own if near(full, expected, np.abs(full).max()) else None


def rank(a):
    return int(np.linalg.matrix_rank(a, tol=1e-8 * (1 + np.abs(a).max())))


def has_rank(found, own):
    """Whether what multiplies the keys is a decay and so many corrections of rank one."""
    if rank(own[: WIDTH // 2, WIDTH // 2 :]) > found.corrections:
        return False
    if not found.corrections:
        return near(own, np.diag(np.diag(own))) and (found.factor not in (Factor.ONE, Factor.NUMBER) or
                                                     is_wide(found.factor, np.diag(own)))  # fmt: skip
    return found.factor is not Factor.ONE or rank(own - np.eye(len(own))) <= found.corrections


def holds(found, probe, group, is_back):
    """Whether the numbers are as a structure says, and None where they are too large to tell."""
    if not found.is_affine:
        return found.kind is Kind.BENT or is_shifted_maximum(probe, group)
    factors, rest = probe.jacobian(group, is_back)
    scale = max(np.abs(factors).max(), np.abs(rest).max())
    if not scale < 1e6:
        return None
    return probe.blends(group, is_back) <= TOLERANCE * (1 + scale) and fits(found, probe, group, factors, rest)


def fits(found, probe, group, factors, rest):
    """Whether factors and rest of an affine step have the structure."""
    if found.kind is Kind.RANK_ONE:
        if found.factor in (Factor.ROWS, Factor.COLUMNS) and (found.factor is Factor.ROWS) != found.keys_are_rows:
            return False
        own = keyed(found, probe, group[0], factors)
        written = rank(rest.reshape(probe.shapes[group[0]][1:]))
        return own is not None and has_rank(found, own) and written <= found.writes
    if found.kind is Kind.ENTRYWISE:
        return has_entries(found, probe, group, factors)
    return found.kind is Kind.DENSE or near(factors, 0.0)


@pytest.mark.parametrize("name", CELLS)
def test_published_cells_are_as_they_are_said_to_be(name, reference):
    for group in linearity(CELLS[name]).groups:
        probes = [Probe(reference, CELLS[name], seed) for seed in range(3)]
        assert [holds(group.step, probe, group.states, False) for probe in probes] == [True] * 3
        assert [holds(group.back, probe, group.states, True) for probe in probes] == [True] * 3
        assert group.back.is_affine


@pytest.mark.parametrize("name", CELLS)
def test_nothing_is_said_to_be_less_than_it_is(name, reference):
    probes = [Probe(reference, CELLS[name], seed) for seed in range(6)]
    for group in linearity(CELLS[name]).groups:
        if group.step.kind is Kind.BENT:
            assert max(probe.blends(group.states, False) for probe in probes) > 1e-4
        for found, is_back in ((group.step, False), (group.back, True)):
            if found.is_affine and found.kind is not Kind.SHIFT:
                measured = [probe.jacobian(group.states, is_back) for probe in probes]
                assert is_tight(found, probes[0], group.states, [factors for factors, _ in measured])
                assert max(np.abs(factors).max() for factors, _ in measured) > 1e-6
            if found.kind is Kind.RANK_ONE and not is_back:
                rest = measured[0][1]
                assert rank(rest.reshape(probes[0].shapes[group.states[0]][1:])) == found.writes


def is_tight(found, probe, group, measured):
    """Whether no simpler structure would do for all of these factors."""
    if found.kind is Kind.DENSE:
        return max(np.abs(factors - np.diag(np.diag(factors))).max() for factors in measured) > 1e-6
    if found.kind is Kind.RANK_ONE:
        each = [keyed(found, probe, group[0], factors) for factors in measured]
        own = [np.diag(a) for a in each] if not found.corrections else []
        ranks = {rank(a[: WIDTH // 2, WIDTH // 2 :]) for a in each}
        if found.factor is Factor.NUMBER and all(rank(a - np.eye(len(a))) <= found.corrections for a in each):
            return False
        return ranks == {found.corrections} and not any(all(is_wide(f, a) for a in own) for f in SIMPLER[found.factor]
                                                        if own)  # fmt: skip
    shape = probe.shapes[group[0]][1:]
    own = [np.diag(factors)[: math.prod(shape)].reshape(shape) for factors in measured]
    return not any(all(is_wide(factor, a) for a in own) for factor in SIMPLER[found.factor])


SIMPLER = {
    Factor.ONE: [], Factor.NUMBER: [Factor.ONE], Factor.VECTOR: [Factor.NUMBER], Factor.ROWS: [Factor.NUMBER],
    Factor.COLUMNS: [Factor.NUMBER], Factor.MATRIX: [Factor.ROWS, Factor.COLUMNS],
}  # fmt: skip


def test_drawn_cells_are_as_they_are_said_to_be(reference):
    tried = Counter()

    @settings(max_examples=110, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(drawn_cells())
    def each(drawn):
        probe = Probe(reference, drawn, 0)
        for group in linearity(drawn).groups:
            for found, is_back in ((group.step, False), (group.back, True)):
                result = holds(found, probe, group.states, is_back)
                assert result is not False, f"{linearity(drawn)}\n{drawn}"
                tried["too large" if result is None else found.kind] += 1

    each()
    assert tried["too large"] < sum(tried.values()) / 5
    assert min(tried[kind] for kind in (Kind.SHIFT, Kind.ENTRYWISE, Kind.DENSE, Kind.BENT)) >= 10


@pytest.mark.parametrize("mixed", (
    cell(lambda x, R, h, c: (where(c > x.o, x.b, sin(h)), R.i(h))),
    cell(lambda x, R, c, h: (R.i(h), where(c > x.o, x.b, sin(h)))),
))  # fmt: skip
def test_a_cotangent_that_is_not_handed_on_mixes_features_too(mixed, reference):
    """Only a condition reads c, so that its cotangent begins anew in each step, and reaches h through a map."""
    (group,) = linearity(mixed).groups
    assert group.back.kind is Kind.DENSE
    assert holds(group.back, Probe(reference, mixed, 0), group.states, True)


SENTENCES = {
    "lstm": (
        "h' and c' are not affine in h and c: sigmoid and tanh bend h.",
        "The cotangents of h and c are affine in those of h' and c': U_f, U_g, U_i and U_o mix features.",
    ),
    "indrnn": (
        "h' is not affine in h: relu bends h.",
        "The cotangent of h is affine in that of h': a factor for each feature, so a scan could run it.",
    ),
    "paralstm": (
        "h' and c' are not affine in h and c: sigmoid bends h and c; tanh bends h.",
        "The cotangents of h and c are affine in those of h' and c': a 2 by 2 block for each feature, so a scan could "
        "run it.",
    ),
    "lru": (
        "re' and im' are affine in re and im: a 2 by 2 block for each feature.",
        "The cotangents of re and im are affine in those of re' and im': a 2 by 2 block for each feature.",
        "A layer runs in parallel over time: re and im by scans.",
    ),
    "mlstm": (
        "m' is the larger of m plus a term and of a value that does not depend on m.",
        "C' is affine in C: one decay and one write of rank one.",
        "n' is affine in n: one factor.",
        "The cotangent of m is affine in that of m': one factor.",
        "The cotangent of C is affine in that of C': one decay and one write of rank one.",
        "The cotangent of n is affine in that of n': one factor.",
        "A layer runs in parallel over time: m and n by scans, C by chunks.",
    ),
    "mamba": (
        "S' is affine in S: a factor for each entry.",
        "The cotangent of S is affine in that of S': a factor for each entry.",
        "A layer runs in parallel over time: S by scans.",
    ),
    "deltaproduct": (
        "S' is affine in S: no decay, two writes of rank one and two corrections of rank one, which read S back.",
        "The cotangent of S is affine in that of S': no decay, three writes of rank one and two corrections of rank "
        "one, which read it back.",
        "A layer runs in parallel over time: S by chunks.",
    ),
    "nas": (
        "h' and c' are not affine in h and c: sigmoid and relu bend h; tanh bends h in h'.",
        "The cotangents of h and c are affine in those of h' and c': 8 maps mix features.",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_sentences(name):
    expected = SENTENCES[name]
    assert linearity(CELLS[name]).sentences[: len(expected)] == expected
    assert str(linearity(CELLS[name])).startswith(f"{name}\n  {expected[0]}\n")


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_runs_in_parallel_where_it_is_said_to(name, reference):
    found = linearity(CELLS[name])
    form = parallel(CELLS[name])
    assert found.reason == (form if isinstance(form, str) else "")
    steps = [group.step for group in found.groups]
    assert bool(found.reason) == any(step.kind in (Kind.BENT, Kind.DENSE) for step in steps)
    if found.reason:
        assert f"Path.PARALLEL refuses it: {found.reason}." in found.sentences[-1]


def test_a_map_is_affine_and_dense():
    @cell
    def mapped(x, R, h):
        return R.a(h) + R.b.T(h) + total(h) + x.h

    (group,) = linearity(mapped).groups
    assert (group.step.kind, group.step.through) == (Kind.DENSE, ("U_a", "U_b", "total"))
    assert linearity(mapped).sentences[0] == "h' is affine in h: U_a, U_b and a sum over features mix features."
    assert linearity(mapped).reason


def test_every_operation_that_bends_is_named_with_what_it_bends():
    @cell
    def bent(x, R, h, c):
        return tanh(c) + h * h, relu(R.a(h)) + where(c > 0, x.a, x.b) / (x.c + h)

    (group,) = linearity(bent).groups
    assert group.step.bends == (
        Bend("tanh", ("c",), ("h",)), Bend("multiply", ("h",), ("h",)), Bend("relu", ("h",), ("c",)),
        Bend("greater", ("c",), ("c",)),
    )  # fmt: skip
    assert linearity(bent).sentences[0] == (
        "h' and c' are not affine in h and c: tanh bends c in h'; a product bends h in h'; relu bends h in c'; "
        "a comparison bends c in c'."
    )


def test_a_quotient_bends_what_it_divides_by():
    @cell
    def divided(x, h, c):
        return h / x.a + c, x.b / (1 + c)

    one, other = (group.step for group in linearity(divided).groups)
    assert one.bends == (Bend("divide", ("c",), ("c",)),)
    assert other.kind is Kind.ENTRYWISE


def test_a_group_is_judged_with_earlier_ones_given():
    @cell
    def layered(x, R, p, h, c, S):
        h = tanh(x.h + R.h(h))
        S = outer(h, 1) * S + outer(x.k, h * h)
        return out(c + x.q @ S), h, h * c + tanh(h), S

    found = {group.states: group.step for group in linearity(layered).groups}
    assert {states: (step.kind, step.factor) for states, step in found.items()} == {
        ("h",): (Kind.BENT, None), ("c",): (Kind.ENTRYWISE, Factor.VECTOR), ("S",): (Kind.RANK_ONE, Factor.ROWS),
    }  # fmt: skip


def test_what_stops_gradients_has_cotangents_that_depend_on_none():
    @cell
    def stopped(x, p, h, c):
        return tanh(x.h + p.h * stop(h)), p.c * stop(c) + h

    assert [group.back.kind for group in linearity(stopped).groups] == [Kind.SHIFT, Kind.SHIFT]
    assert [group.step.kind for group in linearity(stopped).groups] == [Kind.BENT, Kind.ENTRYWISE]


def test_only_a_cell_can_be_asked_about():
    with pytest.raises(ArgumentError, match="cell must be a declared cell, got 'lstm'; give one"):
        linearity("lstm")


def test_a_correction_that_stops_gradients_has_no_chunks():
    @cell
    def stopped(x, S):
        S = S + outer(x.v - stop(S @ x.k), x.k)
        return out(S @ x.q), S

    (group,) = linearity(stopped).groups
    assert (group.step.kind, group.back.kind) == (Kind.DENSE, Kind.RANK_ONE)
    assert group.back.corrections == 0
    assert linearity(stopped).reason
