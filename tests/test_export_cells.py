"""Every cell of the gallery as a Python file and as C: the values of the oracle, by the tolerances of the suite."""

from __future__ import annotations

import pytest

from conformance.cases import Case, hidden_for
from conformance.exported import ExportedBackend, Kind
from conformance.exported.c_program import CProgram, compiled
from conformance.exported.numpy_program import numpy_program
from conformance.judge import Judge
from conformance.registry import properties
from rnnspec import Layer, Network, cells
from rnnspec.export import to_c
from rnnspec.tracing.cell import Cell

LAWS = {law.id: law for law in properties()}
NAMES = [name for name in dir(cells) if isinstance(getattr(cells, name), Cell)]
SIZE = "\nsize_t {0}_size(void);\nsize_t {0}_size(void)\n{{\n    return sizeof({0}_state);\n}}\n"


def case(name, precision):
    """Two directions in f64, one in f32, with a row that has no step."""
    cell = getattr(cells, name)
    direction = {"f64": "bidirectional", "f32": "forward"}[precision]
    return Case(Network(3, [Layer(cell, hidden_for(cell), direction)]), 4, 3, lengths=(4, 0, 2), scale=0.5)


@pytest.fixture(scope="module", params=["f64", "f32"])
def everything(request):
    """All cells as one program of C, which a compiler translates in one go, with their weights inside."""
    headers, begin = [], ""
    for name in NAMES:
        asked = case(name, request.param)
        exported = to_c(asked.net, asked.arrays(request.param).params, name=f"c_{name}", precision=request.param,
                        most_steps=4)  # fmt: skip
        headers.append(exported.main.decode() + SIZE.format(f"c_{name}"))
        begin += f"#define C_{name.upper()}_IMPLEMENTATION\n"
    return request.param, compiled("".join(headers).encode(), f'{begin}#include "net.h"\n', ("-O0",))


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_in_c_has_the_values_of_the_oracle(name, everything):
    precision, library = everything
    kind = Kind(lambda net, params, precision: CProgram(net, precision, lambda steps: library, f"c_{name}"))
    backend = ExportedBackend("exported:c", kind, precision)
    LAWS["P01"](backend, case(name, precision), Judge(backend))


@pytest.mark.parametrize("precision", ["f64", "f32"])
@pytest.mark.parametrize("name", NAMES)
def test_a_cell_in_python_has_the_values_of_the_oracle(name, precision):
    backend = ExportedBackend("exported:numpy", Kind(numpy_program), precision)
    LAWS["P01"](backend, case(name, precision), Judge(backend))
