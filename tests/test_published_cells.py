"""The cells that libraries have and papers of today describe: each is declared, under a name of ours."""

from __future__ import annotations

import torchrecurrent

from rnnspec import Cell, cells

DECLARED = {
    "BR": "brc", "NBR": "nbrc", "IndRNN": "indrnn", "LiGRU": "ligru", "LightRU": "lightru", "MCLSTM": "mclstm",
    "MGU": "mgu", "MinimalRNN": "minimal_rnn", "MUT3": "mut3", "NAS": "nas", "OriginalLSTM": "lstm_original",
    "PeepholeLSTM": "lstm_peephole", "SGRN": "sgrn", "SGU": "sgu", "DSGU": "dsgu", "STAR": "star", "UGRNN": "ugrnn",
    "WMCLSTM": "wmclstm", "sLSTM": "slstm", "minLSTM": "minlstm", "HGRN": "hgrn",
    "AntisymmetricRNN": "antisymmetric_rnn", "GatedAntisymmetricRNN": "antisymmetric_rnn_gated", "ATR": "atr",
    "CFN": "cfn", "coRNN": "cornn", "FastRNN": "fastrnn", "FastGRNN": "fastgrnn", "IntersectionRNN": "intersection_rnn",
    "JANET": "janet", "LEM": "lem", "MiRU1": "miru1", "MiRU2": "miru2", "MultiplicativeLSTM": "multiplicative_lstm",
    "MUT1": "mut1", "MUT2": "mut2", "RAN": "recurrent_additive_network", "ResLSTM": "lstm_residual", "SCRN": "scrn",
    "tauGRU": "taugru", "TRNN": "trnn", "TGRU": "tgru", "TLSTM": "tlstm", "UnICORNN": "unicornn", "RHN": "rhn",
    "Multiplicative": "multiplicative_rnn", "FastSlow": "fast_slow",
    "RG-LRU": "rglru", "LRU": "lru", "S4D": "s4d", "Mamba": "mamba", "mLSTM": "mlstm", "GLA": "gla",
    "Gated DeltaNet": "gated_deltanet", "RWKV-7": "rwkv7",
}  # fmt: skip
"""Our names of the cells that torchrecurrent and RecurrentLayers.jl have, and of the recurrences of today."""

MODERN = {"sLSTM", "minLSTM", "HGRN", "RG-LRU", "LRU", "S4D", "Mamba", "mLSTM", "GLA", "Gated DeltaNet", "RWKV-7"}
JULIA = {"RHN", "Multiplicative", "FastSlow"}
"""What RecurrentLayers.jl has and torchrecurrent does not."""


def test_every_cell_of_the_field_s_libraries_is_declared():
    library = {name.removesuffix("Cell") for name in dir(torchrecurrent) if name.endswith("Cell")}
    assert len(DECLARED) == 55
    assert DECLARED.keys() == library | JULIA | MODERN
    assert {name for name in DECLARED.values() if not isinstance(getattr(cells, name), Cell)} == set()
