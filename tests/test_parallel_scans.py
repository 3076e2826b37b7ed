"""Scans and chunks by themselves: against a loop over steps, and against PyTorch's differentiation of that loop."""

import numpy as np
import pytest
import torch

from rnnspec.contract.arrays import NumpyArrays
from rnnspec.derivation.semirings import TROPICAL
from rnnspec.running.chunks import ChunkScan, Given
from rnnspec.running.scans import linear_scan, scan

ARRAYS = NumpyArrays(np.float64)
LENGTHS = (1, 2, 15, 16, 17, 24, 25, 26, 40)
"""Around the longest scan that goes step by step, and around full blocks."""


def order(count, reverse):
    return reversed(range(count)) if reverse else range(count)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", LENGTHS)
class TestScan:
    def test_a_pair_that_reads_each_other(self, count, reverse):
        """Factors of one feature and of several, and one that is missing."""
        rng = np.random.default_rng(count)
        a = {("h", "h"): rng.uniform(0, 1, (count, 2, 3)), ("h", "c"): rng.normal(size=(count, 2, 1)),
             ("c", "h"): rng.normal(size=(count, 2, 3)) * 0.1}  # fmt: skip
        u = {"h": rng.normal(size=(count, 2, 3))}
        first = {"h": rng.normal(size=(2, 3)), "c": rng.normal(size=(2, 3))}
        found, last = linear_scan(ARRAYS, a, u, first, reverse)
        h, c = first["h"], first["c"]
        for t in order(count, reverse):
            h, c = a["h", "h"][t] * h + a["h", "c"][t] * c + u["h"][t], a["c", "h"][t] * h
            assert np.allclose(found["h"][t], h, atol=1e-12)
            assert np.allclose(found["c"][t], c, atol=1e-12)
        assert np.allclose(last["h"], h, atol=1e-12)
        assert np.allclose(last["c"], c, atol=1e-12)

    def test_a_maximum_of_sums(self, count, reverse):
        """Far below 0 too, so that a maximum with a number that nobody gave would show."""
        rng = np.random.default_rng(count)
        f, i, first = rng.normal(size=(count, 2, 1)), rng.normal(size=(count, 2, 1)) - 50, rng.normal(size=(2, 1)) - 50
        found, last = scan(ARRAYS, TROPICAL, {("m", "m"): f}, {"m": i}, {"m": first}, reverse)
        m = first
        for t in order(count, reverse):
            m = np.maximum(m + f[t], i[t])
            assert np.allclose(found["m"][t], m, atol=1e-12)
        assert np.allclose(last["m"], m, atol=1e-12)

    def test_decays_of_0_and_1_are_exact(self, count, reverse):
        rng = np.random.default_rng(count)
        a, first = rng.integers(0, 2, (count, 4, 1)).astype(float), rng.normal(size=(4, 1))
        u = np.where(a > 0, 0.0, rng.normal(size=(count, 4, 1)))
        found, _ = linear_scan(ARRAYS, {("h", "h"): a}, {"h": u}, {"h": first}, reverse)
        h = first
        for t in order(count, reverse):
            h = np.where(a[t] > 0, h, u[t])
            assert (found["h"][t] == h).all()


def stepwise(queries, keys, decay, values, feedback, state, before):
    """The reads of all steps and the last state, by a loop over chunks and steps."""
    reads = []
    for m in range(queries.shape[0]):
        for t in range(queries.shape[2]):
            own = [torch.einsum("bk,bkv->bv", queries[m, :, t, i], state) for i in range(before)]
            state_then = decay[m, :, t, 0, :, None] * state
            for j in range(keys.shape[3]):
                value = values[m, :, t, j]
                if feedback is not None:
                    value = value + sum(feedback[m, :, t, j, i, None] * own[i] for i in range(feedback.shape[-1]))
                state_then = state_then + keys[m, :, t, j, :, None] * value[:, None, :]
            state = state_then
            own += [torch.einsum("bk,bkv->bv", queries[m, :, t, i], state) for i in range(before, queries.shape[3])]
            reads.append(torch.stack(own, 1))
    chunks, batch, steps, *rest = queries.shape
    return torch.stack(reads, 1).reshape(batch, chunks, steps, rest[0], -1).transpose(0, 1), state


@pytest.mark.parametrize(
    ("chunks", "steps", "reads", "writes", "keys", "before", "fed", "of_one"),
    [(1, 1, 1, 1, 3, 0, 0, False), (3, 8, 1, 1, 3, 0, 0, False), (2, 4, 1, 1, 1, 1, 0, True),
     (3, 8, 2, 1, 3, 1, 1, True), (2, 8, 3, 2, 3, 2, 2, False), (2, 16, 3, 2, 3, 2, 1, False),
     (2, 4, 2, 3, 3, 2, 0, True), (1, 16, 4, 3, 2, 3, 3, False)],
)  # fmt: skip
def test_chunks_are_their_steps_and_so_are_their_cotangents(chunks, steps, reads, writes, keys, before, fed, of_one):
    rng, batch, width = np.random.default_rng(steps), 2, 5

    def leaf(*shape, low=None):
        drawn = 0.5 * rng.normal(size=shape) if low is None else rng.uniform(low, 1, shape)
        return torch.tensor(drawn, requires_grad=True)

    q, k = leaf(chunks, batch, steps, reads, keys), leaf(chunks, batch, steps, writes, keys)
    decay = leaf(chunks, batch, steps, 1, 1 if of_one else keys, low=0)
    v, state = leaf(chunks, batch, steps, writes, width), leaf(batch, keys, width)
    feedback = leaf(chunks, batch, steps, writes, fed) if fed else None
    expected, last = stepwise(q, k, decay, v, feedback, state, before)
    d_reads, d_last = torch.tensor(rng.normal(size=expected.shape)), torch.tensor(rng.normal(size=last.shape))
    leaves = [a for a in (q, k, decay, v, feedback, state) if a is not None]
    wanted = torch.autograd.grad([expected, last], leaves, [d_reads, d_last])
    given = [None if a is None else a.detach().numpy() for a in (q, k, decay, v, feedback, state)]
    chunked = ChunkScan(ARRAYS, before, fed)
    ran = chunked.run(Given(*given[:-1]), given[-1])
    assert np.allclose(ran.reads, expected.detach(), atol=1e-12)
    assert np.allclose(ran.last, last.detach(), atol=1e-12)
    back, first = chunked.pull(ran, d_reads.numpy(), d_last.numpy())
    found = [back.queries, back.keys, back.decay, back.values, back.feedback, first]
    for got, right in zip([a for a in found if a is not None], wanted, strict=True):
        assert got.shape == right.shape
        assert np.allclose(got, right, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("distinct", "strength"), [(1, 1.0), (1, 1.99), (1, 2.0), (2, 1.99), (64, 2.0)])
def test_a_correction_that_turns_the_same_keys_again_and_again_keeps_its_digits(distinct, strength, seed):
    """At strength 2 a step mirrors the state and forgets nothing, so that terms of a chunk's system cancel."""
    rng, steps, keys, width = np.random.default_rng(seed), 64, 8, 4
    k = rng.normal(size=(distinct, keys))[np.arange(steps) % distinct]
    k /= np.linalg.norm(k, axis=1, keepdims=True)
    q, v, state = rng.normal(size=(steps, keys)), rng.normal(size=(steps, width)), rng.normal(size=(keys, width))
    exact, expected = state, []
    for t in range(steps):
        exact = exact + np.outer(k[t], strength * (v[t] - k[t] @ exact))
        expected.append(q[t] @ exact)
    streams = (np.stack([k, q], 1), k[:, None], strength * v[:, None], np.full((steps, 1, 1), -strength), state)
    queries, written, values, feedback, first = (a[None].astype(np.float32) for a in streams)
    given = Given(queries[:, None], written[:, None], None, values[:, None], feedback[:, None])
    ran = ChunkScan(NumpyArrays(np.float32), 1, 1).run(given, first)
    error, largest = np.abs(ran.reads[0, 0, :, 1] - expected).max(), np.abs(expected).max()
    assert error < 2 * steps * np.finfo(np.float32).eps * largest
