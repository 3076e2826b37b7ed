"""What the scoreboard tests of published packages, and what is known of it: a finding in words, and minimal cases."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """A cell, layer or function of a package: its `--module` and `--as`, none where a minimal case alone judges it.

    `fails` are the laws that must fail, since the finding explains them; `notes` are files of cases/.
    """

    package: str
    name: str
    spec: str
    cell: str
    finding: str = ""
    fails: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


VALUES = ("P01 in f32", "P02 in f32", "P01 in f64")
DOUBLE, DIGITS = ("P01 in f64",), "right in float32; a float64 call has the accuracy of float32"
FLOAT64 = (DIGITS, DOUBLE, ("fla_float64",))
FLA = "flash-linear-attention"


THINGS = (
    Thing("torchrecurrent", "LEM", "of_torch:lem", "lem", "**differs from its paper**", VALUES,
          ("torchrecurrent_lem",)),
    Thing("torchrecurrent", "FastGRNN", "of_torch:fastgrnn", "fastgrnn", "**differs from its paper** by default",
          VALUES, ("torchrecurrent_fastgrnn",)),
    Thing("torchrecurrent", 'FastGRNN, nonlinearity="sigmoid"', "of_torch:fastgrnn_sigmoid", "fastgrnn"),
    Thing("torchrecurrent", "MGU", "of_torch:mgu", "mgu"),
    Thing("torchrecurrent", "PeepholeLSTM", "of_torch:peephole", "lstm_peephole"),
    Thing("torch", "torch.ao.nn.quantizable.LSTM", "of_torch:quantizable_lstm", "lstm"),
    Thing("torchrecurrent", "SCRN", "", "scrn", "**differs from its paper**", (), ("torchrecurrent_scrn",)),
    Thing("opacus", "DPLSTM", "opacus.layers:DPLSTM", "lstm"),
    Thing("opacus", "DPGRU", "opacus.layers:DPGRU", "gru"),
    Thing(FLA, "naive_recurrent_gla", "of_fla:gla", "gla", *FLOAT64),
    Thing(FLA, "naive_recurrent_simple_gla", "of_fla:simple_gla", "of_fla:one_decay", *FLOAT64),
    Thing(FLA, "naive_chunk_simple_gla", "of_fla:chunk_simple_gla", "of_fla:one_decay", *FLOAT64),
    Thing(FLA, "delta_rule_recurrence", "of_fla:delta_rule", "deltanet", *FLOAT64),
    Thing(FLA, "naive_recurrent_gated_delta_rule", "of_fla:gated_delta_rule", "gated_deltanet", DIGITS, DOUBLE,
          ("fla_float64", "fla_argument_order")),
    Thing(FLA, "naive_chunk_gated_delta_rule", "of_fla:chunk_gated_delta_rule", "gated_deltanet",
          "right values; **small gradients lose their digits**", DOUBLE,
          ("fla_chunk_digits", "fla_float64", "fla_argument_order")),
    Thing(FLA, "naive_recurrent_kda", "of_fla:kda", "kda", *FLOAT64),
    Thing(FLA, "naive_recurrent_hgrn", "of_fla:hgrn", "hgrn", *FLOAT64),
    Thing(FLA, "naive_recurrent_rwkv6", "of_fla:rwkv6", "rwkv6", *FLOAT64),
    Thing(FLA, "naive_recurrent_rwkv6_bwd", "", "rwkv6", "**wrong** unless `scale` is 1", (), ("fla_rwkv6_backward",)),
    Thing(FLA, "naive_chunk_hgrn", "", "hgrn", "**fails** for more than one chunk", (), ("fla_chunk_hgrn",)),
    Thing(FLA, "chunk_gla", "", "gla", "not judged: its Triton kernels need a GPU", (), ("fla_triton",)),
    Thing("xlstm", "mLSTM, recurrent_step_stabilized_simple", "of_xlstm:mlstm", "of_xlstm:mlstm_code",
          "right; it changes the shape of its arguments", (), ("xlstm_arguments",)),
    Thing("xlstm", "sLSTM, vanilla", "of_xlstm:slstm", "slstm", "**wrong**: one row depends on the others", VALUES,
          ("xlstm_slstm_rows",)),
    Thing("xlstm", "mLSTM, chunkwise_simple", "", "mlstm", "its states are not those of the recurrent step", (),
          ("xlstm_chunkwise_state",)),
    Thing("minGRU-pytorch", "minGRU", "of_min_rnns:lucidrains_gru", "mingru_log", "needs states above 0", VALUES,
          ("mingru_negative_state",)),
    Thing("minGRU-pytorch", "minLSTM", "of_min_rnns:lucidrains_lstm", "of_min_rnns:minlstm_log",
          "**wrong** with an initial state", VALUES, ("mingru_minlstm_state",)),
    Thing("mingru-scans", "MinGRU", "of_min_rnns:scans", "mingru_log",
          "refuses states below 0, and begins with 0.5; documented", VALUES, ("mingru_scans_start",)),
    Thing("mambapy", "MambaBlock.ssm_step", "of_mamba:mambapy", "mamba", DIGITS, DOUBLE, ("mambapy_float64",)),
    Thing("LRU-pytorch", "LRU", "", "lru", "**wrong**: only the first row gets the state", (), ("lru_pytorch_state",)),
    Thing("s5-pytorch", "S5SSM.forward_rnn", "", "s5", "**fails** for one step of one row", (), ("s5_pytorch_steps",)),
    Thing("lstm-variants", "LSTM, BiLSTM", "", "lstm_original", "**wrong** with `batch_first` and in reverse", (),
          ("lstm_variants_axes",)),
    Thing("sru", "SRUCell, rescale=False", "of_sru:sru", "sru", "right in float32; refuses float64 without gradients",
          DOUBLE, ("sru_float64",)),
    Thing("dm-haiku", "LSTM", "", "lstm", "adds 1 to the forget gate; documented", (), ("haiku_forget",)),
    Thing("dm-haiku", "GRU", "of_jax:haiku_gru", "of_jax:gru_before"),
    Thing("equinox", "nn.LSTMCell", "of_jax:equinox_lstm", "lstm"),
    Thing("equinox", "nn.GRUCell", "of_jax:equinox_gru", "gru"),
)  # fmt: skip

NOTES = {
    "torchrecurrent_lem": ("LEM reads the old state", "The new y must see the new z, as in the paper (Rusch et al., "
                           "2022, section 2) and in the authors' code. Here it sees the z of the step before."),
    "torchrecurrent_scrn": ("SCRN feeds back its output", "The paper (Mikolov et al., 2015, section 3) feeds the "
                            "hidden layer back. Here tanh of the output map is fed back and returned."),
    "torchrecurrent_fastgrnn": ("FastGRNN has a gate of tanh", "The paper (Kusupati et al., 2018, section 3.2) and the "
                                "authors' code have a sigmoid. The default here is tanh, so that the gate can be "
                                "negative and turn the sign of the state. With `nonlinearity=\"sigmoid\"` it is "
                                "right."),
    "fla_float64": ("Naive functions compute in float32", "They convert their arguments to float32. With float64 most "
                    "return float64 numbers of float32's accuracy, and some return float32. They are no reference "
                    "for `torch.autograd.gradcheck`."),
    "fla_argument_order": ("Two orders of arguments", "The recurrent and the chunked reference take `beta` and `g` in "
                           "opposite orders, with the same shapes. Pass them by name."),
    "fla_chunk_digits": ("Gradients of decays in chunks", "The chunked reference accumulates the log-decays. A "
                         "gradient that is small beside those of other steps is then a difference of large numbers: "
                         "it has an error of more than 1 %, where the recurrent reference has its digits."),
    "fla_rwkv6_backward": ("The backward pass of RWKV-6 ignores the scale", "The forward pass multiplies queries by "
                           "1 / sqrt(width) by default. The backward pass written for it does not, so that its "
                           "gradients are sqrt(width) times too large."),
    "fla_chunk_hgrn": ("The chunked HGRN runs for one chunk only", "It views the gates as one chunk, which raises an "
                       "error for any other number of steps."),
    "fla_triton": ("Triton kernels need a GPU", "The kernels import without a GPU and raise an error where they are "
                   "called."),
    "xlstm_slstm_rows": ("A row of the sLSTM depends on the others", "At its first step a row takes the stabiliser "
                         "from its input gate. The code asks whether the normaliser is 0 in all rows. A row that "
                         "starts beside one that has begun gets another state than alone."),
    "xlstm_chunkwise_state": ("Two scales of the mLSTM's state", "The recurrent step divides keys by sqrt(d), as the "
                              "paper does; the chunked function of the same file divides queries. Its final state is "
                              "sqrt(d) times that of the step, so that the one cannot go on from the other."),
    "xlstm_arguments": ("The step of the mLSTM reshapes its arguments", "It calls `squeeze_` on queries, keys and "
                        "values: the caller's tensors lose an axis, and a second call with them fails."),
    "mingru_negative_state": ("minGRU takes the logarithm of the state", "In log space a state must be above 0, as "
                              "the paper says. A negative one gives NaN without an error; one step alone takes it."),
    "mingru_minlstm_state": ("minLSTM passes a state through g again", "The paper's code passes the first state, "
                             "before any activation, through g. This layer does so with the state that it returned "
                             "itself, except for a single step. A sequence that is split gives other numbers, 0.4 "
                             "apart in this case."),
    "mingru_scans_start": ("A state of 0.5 to begin with", "Without a state it begins with g(0) = 0.5, where the "
                           "paper's recurrence begins with 0. Its documentation says so."),
    "mambapy_float64": ("mambapy computes A in float32", "It converts A and D to float32. A float64 block has the "
                        "accuracy of float32."),
    "lru_pytorch_state": ("The state of LRU-pytorch", "The rows run one after the other. The first begins with the "
                          "given state, and the others with zeros."),
    "s5_pytorch_steps": ("Steps of s5-pytorch", "`initial_state` reads an attribute that no layer has. `forward_rnn` "
                         "reads the number of steps from an axis that one step of one row does not have."),
    "lstm_variants_axes": ("Axes and order of lstm-variants", "With `batch_first` the outputs are (time, batch, "
                           "feature) all the same. A layer in reverse returns its outputs in the order of reading, "
                           "and BiLSTM puts them beside those of the forward layer as they are."),
    "sru_float64": ("SRU on a processor", "Without gradients a kernel in C++ runs, which takes float32 alone."),
    "haiku_forget": ("Haiku's LSTM adds 1", "The sum of the forget gate has 1 more than the formula of its page. A "
                     "note there says that 1 is added to the bias \"after initialization\". A converter must add 1 to "
                     "the bias of the forget gate."),
}  # fmt: skip
"""A title and an explanation for each file of cases/ that shows a fault of a package."""
