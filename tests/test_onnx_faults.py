"""The judge tells faults of exported ONNX graphs."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("onnxruntime")

from onnx_faults import FAULTS

from conformance.exported import KINDS, ExportedBackend
from conformance.exported.onnx_program import OnnxProgram
from conformance.mutants.trial import killed_by
from conformance.registry import properties
from rnnspec.export import to_onnx

LAWS = {law.id: law for law in properties()}


def exported(change):
    """The backend of exported networks whose files are changed."""
    def opened(net, params, precision):
        return OnnxProgram(net, change(to_onnx(net, params, precision=precision).main))

    return ExportedBackend("exported:onnx", replace(KINDS["onnx"], opened=opened), "f64")


@pytest.mark.parametrize(("law", "network"), sorted({(fault.law, fault.network) for fault in FAULTS}))
def test_the_right_graph_holds(law, network):
    assert killed_by(exported(lambda model: model), LAWS[law], network, 1) is None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.says)
def test_the_judge_tells_a_fault(fault):
    assert killed_by(exported(fault.of), LAWS[fault.law], fault.network, 1) is not None
