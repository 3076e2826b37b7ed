"""The script that times each choice beside the other way: its rules have ways that exist, and take what is taken."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch

import rnnspec
from backends.torch_backend.backend import SMALL
from backends.torch_backend.products import CHOICES
from conformance.registry import Shape
from rnnspec import cells
from rnnspec.contract.budget import MODES


@pytest.fixture
def script(figures, monkeypatch):
    found = figures("choices")
    monkeypatch.setattr(found, "ROUNDS", 1)
    return found


def test_every_rule_has_two_ways_and_bounds_that_exist(script):
    for rule in script.RULES:
        assert len(rule.ways) == 2
        assert {rule.taken(row) for row in rule.rows} <= rule.ways.keys()
        assert all(row.mode in MODES for row in rule.rows)
        for bounds in rule.ways.values():
            for place in bounds if isinstance(bounds, dict) else ():
                module, name = place.rsplit(".", 1)
                assert isinstance(getattr(import_module(module), name), int)


def test_what_a_rule_says_is_taken_is_what_the_backend_takes(script, open_backend):
    terms = next(rule for rule in script.RULES if "terms" in rule.name)
    assert all((rule_takes := terms.taken(row)) in terms.ways and (rule_takes == "laid out")
               is (row.shape.batch * row.shape.hidden <= SMALL) for row in terms.rows)  # fmt: skip
    one_row = next(rule for rule in script.RULES if rule.name == "JAX: one row")
    for row in one_row.rows:
        plan = open_backend("jax", "f32").plan(getattr(cells, row.cell), 1, row.shape.hidden)
        assert one_row.taken(row) == ("packed" if plan.packed else "apart")


def test_both_ways_are_timed(script):
    rule = next(rule for rule in script.RULES if rule.backend == "numpy")
    row = replace(rule.rows[0], shape=Shape(2, 3, 2, 4))
    first, second = (script.sampled(rule, way, row) for way in rule.ways)
    assert script.ratio(first, second) > 0


def test_a_line_says_whether_the_machine_agrees(script):
    row = {"choice": "products", "at": "its sample", "taken": "torch", "other": "onednn", "ratio": 0.9}
    assert script.told(row) == "products, its sample: torch, 0.90 of onednn, agrees"
    assert script.told(row | {"ratio": 1.5}).endswith("disagrees by 50%")
    peer = {"cell": "gru", "shape": [1, 2, 3, 4], "peer": "torch.nn.GRU", "ratio": 1.02}
    assert script.told(peer).endswith("agrees")
    assert script.told(peer | {"ratio": 1.07}).endswith("disagrees by 7%")


def test_each_choice_of_the_backend_has_a_line(script, monkeypatch):
    small = tuple(replace(choice, call=lambda option: lambda: option.product(torch.ones(1, 1), torch.ones(1, 1)))
                  for choice in CHOICES.values())  # fmt: skip
    monkeypatch.setattr(rnnspec, "get_backend", lambda _: type("Fake", (), {"choices": small}))
    assert [(row["choice"], row["taken"], row["other"]) for row in script.of_choices()] == [
        (choice.name, "torch", "onednn") for choice in small]  # fmt: skip
