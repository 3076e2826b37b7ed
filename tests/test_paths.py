"""What runs a layer: a kernel where one is chosen, the lowering where it is held to that, never another in secret."""

import numpy as np
import pytest

import rnnspec
from rnnspec import Backend, Capabilities, Path
from rnnspec.errors import UnsupportedError

NET = rnnspec.Network(2, [rnnspec.Layer(rnnspec.cells.lstm, 3), rnnspec.Layer(rnnspec.cells.gru, 3)])
X = np.linspace(-1, 1, 24).reshape(4, 3, 2)


class Kernel:
    """The generic lowering under another name."""

    def __init__(self, backend):
        self.backend = backend

    def layer(self, *asked):
        result = Backend.layer(self.backend, *asked)
        return rnnspec.LayerResult(result.outputs, result.state, "native: kernel", result.saved)

    def layer_pullback(self, *asked):
        return Backend.layer_pullback(self.backend, *asked)


class WithKernels(Backend):
    name = "with kernels"
    capabilities = Capabilities(paths=(Path.GENERIC, Path.NATIVE))

    def native(self, cell, call):
        return Kernel(self) if cell == rnnspec.cells.lstm else "there is none for this cell"


class Failing(WithKernels):
    def native(self, cell, call):
        kernel = Kernel(self)
        kernel.layer = lambda *asked: 1 / 0
        return kernel


def paths(backend, net=NET):
    return [path for _, path in backend.run(net, net.init(0), X).path]


def test_a_kernel_runs_where_there_is_one():
    assert paths(WithKernels()) == ["native: kernel", "generic"]


def test_a_backend_held_to_the_lowering_runs_no_kernel():
    assert paths(WithKernels().through(Path.GENERIC)) == ["generic", "generic"]


def test_a_backend_held_to_kernels_says_why_there_is_none():
    with pytest.raises(UnsupportedError, match=r"layers\.1\.forward.*there is none for this cell"):
        paths(WithKernels().through(Path.NATIVE))


def test_a_held_backend_is_made_once():
    backend = WithKernels()
    assert backend.through(Path.GENERIC) is backend.through(Path.GENERIC)


def test_a_path_that_is_not_declared_is_refused():
    with pytest.raises(UnsupportedError, match="declares"):
        WithKernels().through(Path.FRAMEWORK)


def test_a_promised_kernel_that_fails_is_an_error():
    with pytest.raises(ZeroDivisionError):
        paths(Failing())


def test_gradients_are_of_the_path_that_ran():
    params, cotangent = NET.init(0), np.ones((4, 3, 3))
    found = WithKernels().pullback(NET, params, X, cotangent)
    expected = WithKernels().through(Path.GENERIC).pullback(NET, params, X, cotangent)
    np.testing.assert_array_equal(found.inputs, expected.inputs)
