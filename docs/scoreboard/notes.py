"""What is known about each cell of the scoreboard that is not "yes": a sentence, code that shows it, and reports."""

from __future__ import annotations

from dataclasses import dataclass

WRONG, CONVENTION, REFUSED = "wrong", "another convention, documented", "refused"


@dataclass(frozen=True)
class Note:
    """One fact about one column, for every layer whose framework and name begin with one of `begins`."""

    begins: tuple[str, ...]
    column: str
    kind: str
    says: str
    reproducer: str
    reported: str = ""
    environments: tuple[str, ...] = ()  # the Keras backends on which it shows


NOTES = (
    Note(("torch.nn",), "length 0", REFUSED, "`pack_padded_sequence` raises an error for a row of length 0.",
         "torch_length_zero", "pytorch#11514, open since 2018"),
    Note(("Flax nnx",), "length 0", WRONG, "The final state of a row of length 0 is the state after its last padded "
         "step, since Flax looks up the last real step at index -1.", "flax_length_zero"),
    Note(("Flax nnx",), "0 after the end", CONVENTION, "Outputs after the end of a row are those that the cell "
         "computes from the padding.", "flax_behind_the_end", "flax#2604: \"NOT zeroed out\""),
    Note(("Flax nnx",), "NaN in padding", WRONG, "The cell also runs on the padding. NaN there makes every gradient "
         "NaN, although the final state stays finite.", "flax_nan_in_padding"),
    Note(("Keras on",), "0 after the end", CONVENTION, "After the end of a row the last output is repeated; with "
         "`zero_output_for_mask=True` it is 0.", "keras_behind_the_end", "",
         ("tensorflow", "jax", "torch")),
    Note(("Keras on",), "NaN in padding", WRONG, "The cell also runs on masked steps, and its results are dropped "
         "afterwards. NaN there leaves the outputs finite, but one training step makes the weights NaN.",
         "keras_nan_in_padding", "", ("tensorflow", "jax", "torch")),
    Note(("Keras on jax",), "length 0", WRONG, "Before the first step that is not masked, the output is the initial "
         "state on JAX, and 0 on TensorFlow and torch.", "keras_length_zero",
         "keras#11472, closed, about an earlier Keras",
         ("jax", "tensorflow", "torch")),
    Note(("Keras on torch", "Keras on jax keras.layers.LSTM", "Keras on jax keras.layers.GRU"), "float64", WRONG,
         "A float64 layer has float64 weights and outputs but the accuracy of float32: `matmul` is rounded to float32 "
         "on torch, and `tanh` on JAX. On torch, LSTM and GRU do this only with a mask.", "keras_float64",
         "keras#23704, open, about Dense on torch", ("torch", "jax")),
    Note(("Keras on jax keras.layers.SimpleRNN",), "float64", WRONG, "A float64 SimpleRNN raises an error: its `tanh` "
         "returns float32, and a JAX scan must not change the dtype of the state.", "keras_float64_simple_rnn", "",
         ("jax",)),
    Note(("ONNX Runtime RNN",), "values", WRONG, "An RNN node computes `tanh` as `2 sigmoid(2x) - 1`. The subtraction "
         "loses digits: at 0.001, four of the seven digits of float32 are left.", "onnx_small_tanh",
         "onnxruntime#28003, merged; its review names the formula"),
    Note(("ONNX Runtime LSTM", "ONNX Runtime GRU"), "NaN is kept", WRONG, "With a bias, NaN inputs give outputs that "
         "are not NaN, since the sum is clamped before its activation.", "onnx_nan"),
    Note(("ONNX Runtime",), "length 0", CONVENTION, "The final state of a row of length 0 is 0, not the initial "
         "state. The standard does not say which is right.", "onnx_length_zero",
         "onnx#1674, closed; onnxruntime#28189"),
)  # fmt: skip


def note(framework: str, thing: str, column: str) -> Note | None:
    """What is known about a cell of the scoreboard, or None."""
    whole = f"{framework} {thing}"
    return next((one for one in NOTES if one.column == column and whole.startswith(one.begins)), None)
