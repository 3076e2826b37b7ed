"""No loss is silent: every option of the other side's parts is seen in the network, noted, refused, or of no account.

An option that a later version adds fails here until somebody says which it is.
"""

from __future__ import annotations

import pytest
from conversions import noted
from sides import opened

from rnnspec.convert import Note
from rnnspec.errors import UnsupportedError
from rnnspec.tree import tree_map

REFUSED, SEEN, FREE = UnsupportedError, "the network shows it", "no network depends on it"
TORCH = {"input_size": (5, SEEN), "hidden_size": (5, SEEN), "num_layers": (2, SEEN), "bias": (False, Note.NO_BIAS),
         "batch_first": (True, Note.BATCH_FIRST), "dropout": (0.5, FREE), "bidirectional": (True, SEEN),
         "device": ("cpu", FREE), "dtype": ("float64", SEEN)}  # fmt: skip
KERAS = {"units": (5, SEEN), "activation": ("softsign", SEEN), "use_bias": (False, Note.NO_BIAS),
         "kernel_initializer": ("zeros", FREE), "recurrent_initializer": ("zeros", FREE),
         "bias_initializer": ("ones", FREE), "kernel_regularizer": ("l2", Note.REGULARISERS),
         "recurrent_regularizer": ("l2", Note.REGULARISERS), "bias_regularizer": ("l2", Note.REGULARISERS),
         "activity_regularizer": ("l2", Note.REGULARISERS), "kernel_constraint": ("non_neg", Note.REGULARISERS),
         "recurrent_constraint": ("non_neg", Note.REGULARISERS), "bias_constraint": ("non_neg", Note.REGULARISERS),
         "dropout": (0.5, Note.DROPOUT), "recurrent_dropout": (0.5, Note.DROPOUT), "seed": (7, FREE),
         "return_sequences": (True, SEEN), "return_state": (True, FREE), "go_backwards": (True, SEEN),
         "stateful": (True, Note.INITIAL_STATE), "unroll": (True, FREE), "trainable": (False, FREE),
         "zero_output_for_mask": (True, REFUSED)}  # fmt: skip
GATED = KERAS | {"recurrent_activation": ("hard_sigmoid", SEEN), "use_cudnn": (False, FREE)}
FLAX = {"in_features": (5, SEEN), "hidden_features": (5, SEEN), "activation_fn": ("gelu", REFUSED),
        "kernel_init": ("ones_init", FREE), "recurrent_kernel_init": ("ones_init", FREE),
        "bias_init": ("ones_init", FREE), "dtype": ("float16", FREE), "param_dtype": ("float16", FREE),
        "carry_init": ("ones_init", Note.INITIAL_STATE), "promote_dtype": ("promotion", REFUSED),
        "keep_rngs": (True, FREE), "kernel_metadata": ({"a": 1}, FREE), "recurrent_kernel_metadata": ({"a": 1}, FREE),
        "bias_metadata": ({"a": 1}, FREE)}  # fmt: skip
ONNX = {"clip": (1.0, SEEN), "activation_alpha": ([0.5], SEEN), "activation_beta": ([0.5], SEEN),
        "activations": (None, SEEN), "direction": ("reverse", SEEN), "hidden_size": (5, SEEN),
        "layout": (1, Note.BATCH_FIRST)}  # fmt: skip
OPTIONS = {
    ("torch.nn", "RNN"): TORCH | {"nonlinearity": ("relu", SEEN)},
    ("torch.nn", "GRU"): TORCH,
    ("torch.nn", "LSTM"): TORCH | {"proj_size": (2, SEEN)},
    ("Keras", "SimpleRNN"): KERAS | {"activity_regularizer": ("l2", FREE)},  # which Keras itself drops
    ("Keras", "LSTM"): GATED | {"unit_forget_bias": (False, FREE)},
    ("Keras", "GRU"): GATED | {"reset_after": (False, SEEN), "bias_initializer": ("ones", Note.SUMMED_BIASES)},
    ("Flax nnx", "SimpleCell"): FLAX | {"residual": (True, REFUSED)},
    ("Flax nnx", "LSTMCell"): FLAX | {"gate_fn": ("tanh", REFUSED)},
    ("Flax nnx", "OptimizedLSTMCell"): FLAX | {"gate_fn": ("tanh", REFUSED)},
    ("Flax nnx", "GRUCell"): FLAX | {"gate_fn": ("tanh", REFUSED)},
    ("ONNX", "RNN"): ONNX,
    ("ONNX", "LSTM"): ONNX | {"input_forget": (1, SEEN)},
    ("ONNX", "GRU"): ONNX | {"linear_before_reset": (1, SEEN)},
}
"""For each kind of part: another value than the usual one of each option, and what becomes of it."""
EACH = [(side, kind, option) for (side, kind), options in OPTIONS.items() for option in options]


@pytest.mark.parametrize(("name", "kind"), OPTIONS)
def test_every_option_is_in_the_table(name, kind):
    assert opened(name).options_of(kind) == set(OPTIONS[name, kind])


@pytest.mark.parametrize(("name", "kind", "option"), EACH, ids=map("-".join, EACH))
def test_an_option_is_seen_told_refused_or_of_no_account(name, kind, option):
    side, (value, expected) = opened(name), OPTIONS[name, kind][option]
    if expected is REFUSED:
        with pytest.raises(UnsupportedError):
            side.part(kind, {option: value})
        return
    usual, found = side.part(kind, {}), side.part(kind, {option: value})
    if expected is SEEN:
        assert looks(found) != looks(usual)
    else:
        assert noted(found.notes) - noted(usual.notes) == (set() if expected is FREE else {expected})
        assert found.net == usual.net
        assert expected is not FREE or looks(found) == looks(usual)


def looks(found):
    return found.net, tree_map(lambda a: (a.shape, a.dtype.name), found.params)
