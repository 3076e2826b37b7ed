"""The kind of every mutant: that of its family, or its own.

A family is the module of a protocol mutant; the mutants of a cell's equations have the kind of the pass that is wrong.
"""

from __future__ import annotations

from conformance.mutants.sequences.forgetting import EXTENTS
from rnnspec import Mutant

__all__ = ["kind"]

FAMILIES = {
    "states": "initial state", "lengths": "padding counted", "steps": "mixed up", "cotangents": "parameter gradient",
    "losses": "loss", "alignments": "CTC", "numbers": "digits", "memory": "memory", "sharing": "memory",
    "paths": "another way", "extents": "size", "blocks": "size", "arguments": "arguments", "counters": "size",
    "readings": "output", "few": "size", "policies": "recurrence policy", "rules": "update", "guards": "clipping",
    "segments": "another way", "governed": "clipping", "spans": "arguments", "training": "update",
    "leftovers": "call before", "nothing": "empty row", "vanishing": "zeros missing", "reach": "output cotangent",
    "small": "range", "resets": "reset", "heads": "heads", "matrices": "matrices", "bound": "call before",
    "chunks": "another way", "halves": "another way", "scans": "another way", "ways": "another way",
    "biases": "bias", "forgetting": "step lost", "choices": "equation", "functions": "derivative",
    "equations of matrices": "matrices", "masks": "noise", "exchanges": "workers", "shards": "workers",
}  # fmt: skip
"""The kind of the most mutants of each module."""

OPERANDS = {
    "features chosen by a product": "NaN hidden", "final state cotangent left out": "final cotangent",
    "heads of a vector exchanged": "heads", "initial state learns nothing": "initial gradient",
    "lengths left out": "padding counted", "of one shape exchanged": "mixed up", "outputs of heads turned": "heads",
    "resets left out": "reset", "shared arrays learn the mean": "sum is a mean", "state left out": "initial state",
    "the last array learns nothing": "input gradient", "unknown arrays ignored": "arguments",
}  # fmt: skip
"""The kinds of faults of calls with given arrays."""

MODELS = {
    "residual forgotten": "output", "residual twice": "output", "residual of the reverse half turned": "reverse",
    "residual hands nothing down": "input gradient", "residual at padded steps": "padding counted",
    "norm over rows": "rows mixed", "norm over steps": "step lost", "epsilon of another norm": "digits",
    "scale learns the mean": "sum is a mean", "shift learns nothing": "parameter gradient",
    "activation forgotten": "equation", "biases at padded steps": "padding counted",
    "single steps late": "step shifted", "head on empty rows": "empty row",
    "head learns from empty rows": "empty row", "head hands nothing down": "input gradient",
}  # fmt: skip
"""The kinds of faults of whole models."""

EMBEDDING = {
    "a later place replaces an earlier one": "parameter gradient", "classes are smoothed": "mixed up",
    "classes learn in half precision": "digits", "classes learn the mean": "sum is a mean",
    "every class is the next": "mixed up", "learned states are zeros": "initial state",
    "learned states learn nothing": "initial gradient", "learned states learn the mean": "sum is a mean",
    "learned states replace given ones": "initial state", "padding is read as a class": "padding counted",
    "resets begin with zeros": "reset", "resets teach nothing": "reset", "tied lookups learn nothing":
    "parameter gradient", "tied outputs learn nothing": "parameter gradient", "unseen classes drift": "zeros missing",
    "wrong classes are the last": "arguments", "wrong classes wrap around": "arguments",
}  # fmt: skip
"""The kinds of faults of class numbers, tied outputs and learned states."""

OWN = {
    "final state": (
        "states: final exchanged", "states: final forgotten", "states: final of step before",
        "states: last state not updated", "training: final state of full rows", "training: update loses its state",
        "losses: loss forgets final state", "nothing: state is forgotten",
    ),
    "rows mixed": (
        "states: final of rolled rows", "states: initial of first row", "lengths: never sorted back",
        "memory: first row for all", "memory: rows mixed", "memory: rows rolled", "memory: rows beyond four lost",
        "extents: time and batch exchanged",
    ),
    "step lost": (
        "states: initial used twice", "lengths: lost without padding", "steps: first step skipped",
        "steps: last step skipped", "steps: loops in pairs",
    ),
    "memory": (
        "states: no steps no copy", "arguments: loss changes state", "arguments: loss reuses gradients",
        "arguments: training in place", "arguments: view for a copy", "arguments: scratch shared",
        "bound: parameters bound late",
    ),
    "mixed up": ("states: reverse starts as forward", "states: second layer starts as first",
                 "extents: like the layer below", "training: reverse halves stay", "training: upper layers stay"),
    "empty row": ("states: rows of length zero forgotten", "lengths: zero is one", "losses: empty rows are counted"),
    "output": ("lengths: last reads the padding", "steps: dense bias at padding", "steps: dense bias twice",
               "cotangents: of output bias missing", "rules: output layer not trained"),
    "length misread": ("lengths: inverted", "lengths: one long", "lengths: one short", "lengths: only the longest",
                       "training: lengths ignored", "arguments: short lengths overflow",
                       "arguments: unsigned lengths wrap"),
    "NaN in padding": ("lengths: multiplied away",),
    "step shifted": ("steps: inputs late", "steps: outputs late"),
    "reverse": ("steps: reverse is forward", "steps: reverse not turned back", "steps: reverse turns padding",
                "steps: upper layers run forward", "steps: reverse cotangent not turned",
                "readings: reverse read at the end", "readings: reverse read behind the end"),
    "carried cotangent": ("steps: gradient skips first step", "steps: gradient skips last step",
                          "cotangents: clipped in secret", "cotangents: not carried",
                          "cotangents: one state not carried", "cotangents: small ones flushed"),
    "sum is a mean": ("cotangents: averaged over rows", "cotangents: averaged over steps",
                      "cotangents: of one row missing"),
    "final cotangent": ("cotangents: of final state ignored", "cotangents: of last state ignored",
                        "reach: counts beside outputs alone", "arguments: state cotangent of ones"),
    "initial gradient": ("cotangents: of final state passed through", "cotangents: of initial state missing",
                         "cotangents: of states exchanged"),
    "input gradient": ("cotangents: of inputs missing", "cotangents: of inputs negated"),
    "output cotangent": ("cotangents: of last output only", "cotangents: of outputs ignored",
                         "cotangents: of outputs late"),
    "range": ("losses: sigmoid loss is cut", "losses: sigmoid loss overflows", "losses: softmax loss is cut",
              "losses: softmax loss overflows", "numbers: gradient overflows", "numbers: inputs saturated",
              "numbers: saturated", "numbers: sigmoid overflows", "extents: carry clipped at fifty",
              "extents: inputs held within hundred", "extents: small gradients lost", "extents: small numbers lost"),
    "form of answers": ("numbers: double returned", "memory: shape forgotten", "paths: fallback in secret",
                        "paths: kernel runs unasked", "ways: path is called generic",
                        "ways: chunks are called longer", "ways: parallel unasked",
                        "ways: step by step in secret", "training: update loses its loss"),
    "NaN hidden": ("numbers: nan in laundered", "numbers: nan laundered", "numbers: nan spreads over rows",
                   "extents: nan cotangent laundered", "extents: nan parameters laundered",
                   "extents: nan state laundered"),
    "calls differ": ("numbers: nondeterministic",),
    "digits": ("extents: sixteens in half precision", "blocks: widths of64 in half precision",
               "cotangents: off by one in hundred thousand", "arguments: doubles cut",
               "arguments: half parameters cut"),
    "call before": ("memory: answered by identity", "memory: gradients accumulate", "memory: stateful",
                    "sharing: packed by the last sum", "sharing: pullback by identity", "sharing: zeros of many rows",
                    "arguments: loss by identity", "arguments: loss goes on", "arguments: pullback goes on",
                    "training: goes on", "training: lengths remembered"),
    "arguments": ("memory: fortran order read", "sharing: broadcast read flat", "resets: numbers taken",
                  "resets: one row for all", "resets: rows before steps"),
    "threads": ("sharing: losses share memory", "sharing: one network at a time",
                "sharing: runs and pullbacks share memory", "training: parameters of another thread",
                "training: rule states shared", "training: runs see training", "training: steps share memory",
                "training: updates share memory"),
    "another way": ("arguments: recomputed loss forgets",),
    "zeros missing": ("extents: inner bias skipped at zeros", "extents: steps of zeros are padding"),
    "clipping": tuple(f"rules: {name}" for name in (
        "global norm always scales", "global norm launders", "global norm of absolute values", "global norm per map",
        "global norm with epsilon", "global norm without biases", "global norm without output layer",
        "global norm without root", "global norm zero by zero", "norm forgets biases", "norm is global",
        "policies ignored", "value becomes zero", "value from above only", "value launders")),
    "update": tuple(f"governed: {name}" for name in (
        "adam of forward halves", "adam of the first layer", "descent of forward halves",
        "descent of the first layer")) + tuple(f"nothing: {name}" for name in (
            "rule begins again", "rule stands still", "stands still", "update divides by zero")),
    "equation": tuple(f"functions: {name}" for name in (
        "stop passes no value", "cos is sin", "erf is tanh", "a width counts one more",
        "a width is that of another vector")),
    "loss": ("lengths: padding is counted", "cotangents: of parameters doubled", "nothing: count is one"),
    "recurrence policy": ("few: every state is cut", "few: joint norms taken apart", "few: states held by norm",
                          "blocks: wide layers unclipped"),
}  # fmt: skip
"""The mutants whose kind is not that of their module."""

PASSES = {"forward": "equation", "both": "equation", "backward": "derivative", "adjoint": "derivative",
          "schedule": "step shifted"}  # fmt: skip
"""The kinds of the mutants of a cell, by the word in brackets."""

FORGETTING = {
    "initial ignored": "initial state", "initial has no gradient": "initial gradient", "cut to sixteen bits": "digits",
    "gradient cut": "carried cotangent", "gradient cut in upper layers": "carried cotangent",
    "gradient cut in reverse halves": "carried cotangent", "gradient of the last": "carried cotangent",
    "gradient cut to sixteen bits": "digits",
}  # fmt: skip
"""The kinds of faults of long sequences that lose no step, by the name before the extent."""

_KINDS = {name: kind for kind, names in OWN.items() for name in names} | {
    f"forgetting: {name}, {steps} steps": kind for name, kind in FORGETTING.items() for steps in EXTENTS} | {
    f"operands: {name}": kind for name, kind in OPERANDS.items()} | {
    f"models: {name}": kind for name, kind in MODELS.items()} | {
    f"embedding: {name}": kind for name, kind in EMBEDDING.items()}  # fmt: skip


def kind(mutant: Mutant) -> str:
    """The kind of a mutant; the empty text where nobody has given it one, as for those of plugins."""
    family, _, rest = mutant.name.partition(":")
    wrong = "backward" if "the backward loop" in rest else rest.rpartition("(")[2].rstrip(")")
    return _KINDS.get(mutant.name) or PASSES.get(wrong) or FAMILIES.get(family, "")
