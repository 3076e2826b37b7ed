"""The example of a classifier that torch trained learns, and computes the same logits everywhere."""

import json

import pytest


def test_what_torch_trained_gives_its_logits_on_every_backend_and_in_onnx_runtime(run_example, tmp_path):
    for framework in ("torch", "jax", "tensorflow", "onnx", "onnxruntime", "sklearn"):
        pytest.importorskip(framework)
    done = run_example("converted", "--quick", "--json", "figures.json")
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["test_accuracy"] > 0.8  # an untrained network reads a tenth
    assert figures["notes"] == [f"[training] layers.{i}.forward: two biases of a gate become their sum" for i in (0, 1)]
    assert [row["where"].rsplit(" ", 1)[0] for row in figures["rows"]] == [
        "numpy", "torch", "jax", "tensorflow", "ONNX Runtime"]  # fmt: skip
    for row in figures["rows"]:
        assert row["within"] and row["over_yardstick"] <= row["allowed"], row
        assert row["same_answers"] == row["of"] == 450, row
    assert "same answers" in " ".join(done.stdout.split())
