"""What is known of each cell that is not green: what it is, the code that shows it, and where it was reported."""

from __future__ import annotations

from dataclasses import dataclass

WRONG, CONVENTION, REFUSED = "wrong", "another convention, documented", "refused"


@dataclass(frozen=True)
class Note:
    """One fact about some cells of the scoreboard: of every thing whose framework and name begin so, in one column."""

    begins: tuple[str, ...]
    column: str
    kind: str
    says: str
    reproducer: str
    reported: str = ""
    environments: tuple[str, ...] = ()  # the Keras backends on which it shows


NOTES = (
    Note(("torch.nn",), "length 0", REFUSED, "`pack_padded_sequence` raises for a row of length 0.",
         "torch_length_zero", "pytorch#11514, open since 2018"),
    Note(("Flax nnx",), "length 0", WRONG, "The final state of a row of length 0 is that after the last step of its "
         "padding: the step before the first is looked up at index -1.", "flax_length_zero"),
    Note(("Flax nnx",), "0 behind the end", CONVENTION, "Outputs behind a row's end are what the cell makes of the "
         "padding.", "flax_behind_the_end", "flax#2604: \"NOT zeroed out\""),
    Note(("Flax nnx",), "NaN in padding", WRONG, "The cell runs on behind the end: NaN there leaves the final state "
         "finite and makes every gradient NaN.", "flax_nan_in_padding"),
    Note(("Keras on",), "0 behind the end", CONVENTION, "An output behind a row's end repeats the one before it; "
         "`zero_output_for_mask=True` gives 0.", "keras_behind_the_end", "",
         ("tensorflow", "jax", "torch")),
    Note(("Keras on",), "NaN in padding", WRONG, "Masked steps are selected away after the cell has run on them: NaN "
         "there leaves outputs finite and makes weights NaN in one training step.", "keras_nan_in_padding", "",
         ("tensorflow", "jax", "torch")),
    Note(("Keras on jax",), "length 0", WRONG, "An output before the first step that is not masked is the initial "
         "state on JAX, and 0 on TensorFlow and torch.", "keras_length_zero",
         "keras#11472, closed, of an earlier Keras",
         ("jax", "tensorflow", "torch")),
    Note(("Keras on torch", "Keras on jax keras.layers.LSTM", "Keras on jax keras.layers.GRU"), "float64", WRONG,
         "A layer of float64 with weights and outputs of float64 computes with the accuracy of float32: `matmul` is "
         "rounded on torch, `tanh` on JAX. On torch LSTM and GRU do so with a mask.", "keras_float64",
         "keras#23704, open, of Dense on torch", ("torch", "jax")),
    Note(("Keras on jax keras.layers.SimpleRNN",), "float64", WRONG, "SimpleRNN of float64 raises: its `tanh` gives "
         "float32, and a scan must keep its types.", "keras_float64_simple_rnn", "", ("jax",)),
    Note(("ONNX Runtime RNN",), "values", WRONG, "The `tanh` of an RNN node is `2 sigmoid(2x) - 1`, which cancels: at "
         "0.001 four of float32's seven digits are left.", "onnx_small_tanh",
         "onnxruntime#28003, merged, whose review names the formula"),
    Note(("ONNX Runtime LSTM", "ONNX Runtime GRU"), "NaN comes out", WRONG, "With a bias, inputs that are NaN give "
         "outputs that are not: the sum is clamped before its activation.", "onnx_nan"),
    Note(("ONNX Runtime",), "length 0", CONVENTION, "The final state of a row of length 0 is 0, not the initial "
         "state; the standard does not say which.", "onnx_length_zero", "onnx#1674, closed; onnxruntime#28189"),
)  # fmt: skip


def note(framework: str, thing: str, column: str) -> Note | None:
    """What is known of a cell."""
    whole = f"{framework} {thing}"
    return next((one for one in NOTES if one.column == column and whole.startswith(one.begins)), None)
