"""Things that people have, judged as backends: right ones pass, each faulty one fails, and what cannot be judged says
what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import their_onnx_models
from typer.testing import CliRunner

from conformance.cases import load_cell
from conformance.cases.kept import Kept
from conformance.command import app
from conformance.modules import ModuleBackend
from conformance.modules.backend import _hidden
from conformance.modules.source import source
from conformance.registry import Scope, Shape, properties
from conformance.running.examination import Examination
from conformance.running.worker import F64_ONLY, not_asked
from conformance.selection import Selection
from rnnspec import cells
from rnnspec.convert import Note
from rnnspec.errors import ArgumentError, TreeError, UnsupportedError

HERE = Path(__file__).parent
FEW = ("P01", "P01-plain", "P02", "P02-plain", "P32", "P33")
"""Values, gradients and lengths: in this process, where the whole registry would take minutes."""
ONE_SIZE = ("--shape", "5,7,3,4")
"""Where it is the command that is tested: the laws meet every size above."""


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Whoever computes one cell has the same cases, whose references are calculated once; none need be made smaller."""
    kept = Kept(2**29)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("conformance.tolerance.yardstick.REFERENCES", kept)
        patch.setattr("conformance.properties.asking.REFERENCES", kept)
        patch.setattr("conformance.running.examination.SHRINKS", 0)
        yield


def judged(thing, cell="lstm", precision="f32", lacks=(), only=FEW, labels=5):
    """The status of some laws; stops at the first that fails."""
    backend = ModuleBackend(source("tests:thing", thing, load_cell(cell), tuple(lacks)), cell, precision)
    able = backend.capabilities
    scope = Scope(able.cells, tuple(Shape(5, 7, *size) for size in able.sizes or ()), brief=True, share=(0, 2))
    found = {}
    for law in properties():
        if law.id in only:
            found[law.id] = Examination(backend, scope, examples=1, labels=labels).judge(law).status
            if found[law.id] in ("fail", "error"):
                break
    return found


def is_right(found):
    return "pass" in found.values() and not {"fail", "error"} & set(found.values())


def smoke(spec, *arguments, cell="lstm", precision="f32", **environment):
    """The command in this process; what it tests has processes of its own."""
    given = ("--module", spec, "--as", cell, "--tier", "smoke", "--precision", precision, *arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
        for name, value in environment.items():
            patch.setenv(name, value)
        return CliRunner().invoke(app, [*map(str, given)])


class TestTorch:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("their_torch_modules")

    @pytest.mark.parametrize(("kind", "cell"), [
        ("LSTM", "lstm"), ("GRU", "gru"), ("RNN", "elman"), ("RNN", "elman_relu"), ("LSTM", "lstm_projected"),
    ])  # fmt: skip
    def test_its_own_layers_are_right(self, kind, cell):
        found = judged(getattr(self.torch.nn, kind), cell, "f64")
        assert is_right(found)
        assert found["P02"] == found["P32"] == "pass"

    @pytest.mark.parametrize("name", ["OwnLSTM", "bidirectional", "INSTANCE"])
    def test_a_module_of_one_s_own_a_factory_and_an_instance_are_judged(self, name):
        assert is_right(judged(getattr(self.theirs, name)))

    def test_an_instance_that_skips_steps_is_told_at_its_own_size(self):
        assert judged(self.theirs.FORGETFUL, only=("P170",)) == {"P170": "fail"}
        assert judged(self.torch.nn.LSTM(10, 20), only=("P170",)) == {"P170": "pass"}

    def test_one_that_runs_forward_only_is_judged_by_all_laws_but_those_of_directions_and_policies(self):
        found = judged(self.theirs.OwnLSTM, only=("P20", "P21", "P26-loss"))
        assert found == {"P20": "pass", "P21": "unsupported", "P26-loss": "pass"}

    def test_a_layout_says_where_the_maps_of_another_cell_stand(self):
        found = judged(self.theirs.OwnNames, "mingru")
        assert is_right(found)
        assert found["P32"] == "unsupported"  # it takes no lengths
        assert found["P02"] == "pass"  # of full rows

    @pytest.mark.parametrize("faulty", theirs.FAULTY, ids=lambda faulty: faulty.__name__)
    def test_a_faulty_lstm_fails(self, faulty):
        assert not is_right(judged(faulty))

    @pytest.mark.parametrize("faulty", theirs.FAULTY_AT_THE_DOOR, ids=lambda faulty: faulty.__name__)
    def test_an_lstm_that_is_faulty_when_called_in_another_way_fails(self, faulty):
        assert not is_right(judged(faulty, only=("P02", "P01", "P95", "P39-shared", "P02-plain")))

    @pytest.mark.parametrize("faulty", theirs.FAULTY_GRUS, ids=lambda faulty: faulty.__name__)
    def test_a_faulty_gru_fails(self, faulty):
        assert not is_right(judged(faulty, "gru"))

    def test_two_biases_are_told_and_both_are_judged(self):
        backend = ModuleBackend(source("x:y", self.torch.nn.LSTM, load_cell("lstm")), "lstm")
        assert backend.notes == (Note.SUMMED_BIASES.value,)
        assert not is_right(judged(self.theirs.BiasDropped))  # of the second alone

    def test_parameters_that_cannot_be_mapped_say_what_is_needed(self):
        with pytest.raises(TreeError, match=r"weight_hh, weight_ih each.*got kernel;.*layout"):
            judged(self.theirs.Unmappable)

    def test_a_thing_of_nobody_says_what_it_must_be(self):
        with pytest.raises(ArgumentError, match="a module of keras, torch, flax, onnx"):
            judged(lambda inputs, hidden: 3)

    def test_a_cell_that_a_side_lacks_needs_a_layout(self):
        with pytest.raises(UnsupportedError, match="attribute `layout`"):
            judged(self.torch.nn.GRU, "gru_reset_before")


class TestKeras:
    keras = pytest.importorskip("keras")
    theirs = pytest.importorskip("their_keras_layers")
    finite = ("any_padding",)

    @pytest.mark.parametrize(("kind", "cell"), [("LSTM", "lstm"), ("GRU", "gru"), ("SimpleRNN", "elman")])
    def test_its_own_layers_are_right_where_padding_is_finite(self, kind, cell):
        found = judged(getattr(self.keras.layers, kind), cell, lacks=self.finite, labels=2)
        assert is_right(found)
        assert found["P02"] == found["P32"] == "pass"

    def test_a_cell_runs_in_an_rnn(self):
        found = judged(self.keras.layers.LSTMCell, lacks=self.finite, only=("P01-plain", "P32"), labels=1)
        assert found == {"P01-plain": "pass", "P32": "pass"}
        assert not is_right(judged(self.theirs.SwappingCell, lacks=self.finite, only=("P01-plain",), labels=1))

    def test_both_directions_in_one_are_judged(self):
        assert is_right(judged(self.theirs.bidirectional, lacks=self.finite, only=("P01",)))

    @pytest.mark.parametrize("faulty", theirs.FAULTY, ids=lambda faulty: faulty.__name__)
    def test_a_faulty_lstm_fails(self, faulty):
        assert not is_right(judged(faulty, lacks=self.finite))


class TestFlax:
    nnx = pytest.importorskip("flax.nnx")
    theirs = pytest.importorskip("their_flax_modules")

    @pytest.mark.parametrize(("kind", "cell"), [
        ("OptimizedLSTMCell", "lstm"), ("LSTMCell", "lstm"), ("SimpleCell", "elman_relu"), ("GRUCell", "gru"),
    ])  # fmt: skip
    def test_its_own_cells_are_right_on_full_rows(self, kind, cell):
        found = judged(getattr(self.nnx, kind), cell, lacks=("lengths",), labels=2)
        assert is_right(found)
        assert found["P02"] == "pass"

    def test_a_gru_without_inner_bias_is_judged_as_that_and_told(self):
        given = source("x:y", self.nnx.GRUCell, load_cell("gru"))
        assert given.cell.name == "gru_without_inner_bias"
        assert ModuleBackend(given, "gru").notes == (Note.NO_INNER_BIAS.value,)

    def test_its_padding_fails(self):
        assert not is_right(judged(self.nnx.OptimizedLSTMCell, only=("P32",)))

    @pytest.mark.parametrize("faulty", theirs.FAULTY, ids=lambda faulty: faulty.__name__)
    def test_a_faulty_lstm_fails(self, faulty):
        assert not is_right(judged(faulty, lacks=("lengths",)))


def test_a_module_that_is_not_tested_in_f64_says_so():
    torch = pytest.importorskip("torch")
    backend = ModuleBackend(source("x:y", torch.nn.LSTM, load_cell("lstm")), "lstm")
    assert not_asked(backend, Selection()) == not_asked(backend, Selection(precisions=("f32", "f64"))) == []
    assert not_asked(backend, Selection(precisions=("f32",))) == [f"f64 is not asked: {F64_ONLY}"]
    narrow = ModuleBackend(source("x:y", their_onnx_models.lstm(6, 5), load_cell("lstm")), "lstm")
    assert not_asked(narrow, Selection()) == [f"the module has no f64: {F64_ONLY}"]


class TestOnnx:
    pytest.importorskip("onnxruntime")

    @pytest.mark.parametrize("cell", ["lstm", "gru"])
    def test_models_are_right_in_every_direction(self, cell):
        found = judged(getattr(their_onnx_models, cell), cell, lacks=("empty_rows",))
        assert is_right(found)
        assert found["P02"] == "unsupported"  # it has no gradients

    @pytest.mark.parametrize("name", their_onnx_models.FAULTY)
    def test_a_faulty_model_fails(self, name):
        thing, cell = getattr(their_onnx_models, name), their_onnx_models.FAULTY[name]
        assert not is_right(judged(thing, cell, lacks=("empty_rows",)))

    def test_a_file_passes_at_its_own_size(self, tmp_path):
        onnx.save(their_onnx_models.lstm(6, 5), tmp_path / "model.onnx")
        (tmp_path / "xfails").write_text("P69 ONNX Runtime makes a number of NaN\n")
        done = smoke(tmp_path / "model.onnx", "--json", tmp_path / "report.json", "--without", "empty_rows",
                     "--xfails", tmp_path / "xfails")  # fmt: skip
        assert done.exit_code == 0, done.stdout + done.stderr
        (entry,) = json.loads((tmp_path / "report.json").read_text())["backends"]
        assert entry["name"] == str(tmp_path / "model.onnx")
        assert entry["counts"]["pass"] > 3


def test_a_right_module_exits_with_0_and_a_faulty_one_with_1_and_can_be_pasted(tmp_path):
    pytest.importorskip("torch")
    right = smoke("torch.nn:LSTM", "--only", "P02", "--only", "P32", *ONE_SIZE)
    assert right.exit_code == 0, right.stdout + right.stderr
    assert "torch.nn:LSTM f32: P02 pass" in right.stdout
    wrong = smoke("their_torch_modules:ForgetBiasAdded", "--only", "P01", *ONE_SIZE, "--json", tmp_path / "report.json")
    assert wrong.exit_code == 1
    (entry,) = json.loads((tmp_path / "report.json").read_text())["backends"]
    assert (entry["name"], entry["status"]) == ("their_torch_modules:ForgetBiasAdded", "fails")
    assert entry["losses"] == [Note.SUMMED_BIASES.value, f"f64 is not asked: {F64_ONLY}"]
    (finding,) = entry["properties"]
    pasted = subprocess.run([sys.executable, "-c", finding["reproducer"]], capture_output=True, text=True, check=False,
                            env={**os.environ, "PYTHONPATH": str(HERE)})  # fmt: skip
    assert pasted.returncode == 1
    assert "conformance.judge.Failure" in pasted.stderr


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_keras_is_judged_on_each_of_its_backends_and_says_which(backend, tmp_path):
    """One command: the right layer conforms, and the wrong one beside it does not."""
    pytest.importorskip("keras")
    done = smoke("keras.layers:LSTM", "--module", "their_keras_layers:StateIgnored", "--only", "P01", "--without",
                 "any_padding", *ONE_SIZE, "--json", tmp_path / "report.json", KERAS_BACKEND=backend)  # fmt: skip
    right, wrong = json.loads((tmp_path / "report.json").read_text())["backends"]
    assert (right["status"], wrong["status"], done.exit_code) == ("conforms", "fails", 1), done.stdout + done.stderr
    assert right["version"].endswith(f"on {backend}")
    assert f"os.environ['KERAS_BACKEND'] = '{backend}'" in wrong["properties"][0]["reproducer"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--module", "torch.nn:LSTM"), "--as"),
        (("--as", "lstm"), "--module"),
        (("--module", "torch.nn:LSTM", "--as", "nonesuch"), "nonesuch"),
        (("--module", "nonesuch_package:LSTM", "--as", "lstm"), "nonesuch_package"),
        (("--module", "torch.nn", "--as", "lstm"), "package:Thing"),
        (("--module", "nonesuch.onnx", "--as", "lstm"), "nonesuch.onnx"),
        (("--module", "torch.nn:LSTM", "--as", "lstm", "--without", "speed"), "speed"),
    ],
)
def test_a_wrong_command_is_2(arguments, says):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert says in done.stderr


def test_what_is_not_there_is_a_row_that_fails():
    done = smoke("torch.nn:Nonesuch")
    assert done.exit_code == 1
    assert "Nonesuch" in done.stdout


def test_a_factory_gets_the_widths_that_the_states_show():
    """A matrix shows its rows and columns; what is as wide as the inputs is no part of `hidden`."""
    def hidden(cell, **shapes):
        return _hidden(cell, {name: np.zeros(shape) for name, shape in shapes.items()})

    assert hidden(cells.lstm, h=(2, 4), c=(2, 4)) == 4
    assert hidden(cells.sru, c=(2, 3)) == 3
    assert hidden(cells.lstm_projected, h=(2, 3), c=(2, 4)) == {"h": 3, "c": 4}
    assert hidden(cells.gla, S=(2, 3, 4)) == {"S.rows": 3, "S.columns": 4}
    assert hidden(cells.mamba, S=(2, 5, 4)) == {"S.columns": 4}
    assert hidden(cells.mlstm, C=(2, 3, 4), n=(2, 4), m=(2, 1)) == {"C.rows": 3, "C.columns": 4, "n": 4}
