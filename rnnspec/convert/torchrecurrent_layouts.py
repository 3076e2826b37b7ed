"""The table of torchrecurrent: for each of its layers that computes a cell of ours, the maps in each tensor.

Source: the forward of each cell of torchrecurrent 0.2.5. The tests call it with our maps in these places, and compare
values and gradients with every backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnspec import cells
from rnnspec.convert.layout import FIXED, Layout
from rnnspec.tracing.cell import Cell

__all__ = ["OTHERS", "TORCHRECURRENT", "row"]


def row(
    kind: str, cell: Cell, ih: str, options: Mapping[str, Any] | None = None,
    constants: Mapping[str, str] | None = None, **tensors: str,
) -> Layout:  # fmt: skip
    """One row of the table; `ih` names the maps of the input in the order in which `weight_ih` and `bias_ih` have them.

    A bias that adds to another, or that the cell does not have, is spare.
    """
    stacked = {"weight_ih": " ".join(f"W.{name}" for name in ih.split()),
               "bias_ih": " ".join(f"b.{name}" for name in ih.split())}  # fmt: skip
    stacked = {name: maps for name, maps in (stacked | tensors).items() if maps}
    seen, spare = set(FIXED), list[str]()
    for tensor, maps in stacked.items():
        spare += [tensor] if seen.issuperset(maps.split()) else []
        seen |= set(maps.split())
    return Layout(kind, cell, stacked, options or {}, spare=tuple(spare), constants=constants or {},
                  optional=tuple(name for name in stacked if name.startswith("bias")))  # fmt: skip


HARD = {"gate_nonlinearity": "HardSigmoid"}
"""The hard sigmoid of the paper, which torchrecurrent takes as a module; its default is that of torch."""
TORCHRECURRENT = (
    row("OriginalLSTM", cells.lstm_original, "i g o", weight_hh="U.i U.g U.o", bias_hh="b.i b.g b.o"),
    row("PeepholeLSTM", cells.lstm_peephole, "i f g o", weight_hh="U.i U.f U.g U.o", weight_ph="p.i p.f p.o",
        bias_hh="b.i b.f b.g b.o"),
    row("MCLSTM", cells.mclstm, "f i o m g", weight_hh="U.f U.i U.o U.m U.g", bias_hh="b.f b.i b.o b.m b.g"),
    row("WMCLSTM", cells.wmclstm, "i f g o", weight_hh="U.i U.f U.g U.o", weight_mh="U.ic U.fc U.oc",
        bias_hh="b.i b.f b.g b.o", bias_mh="0 0 0"),
    row("MGU", cells.mgu, "f n", weight_hh="U.f U.n", bias_hh="b.f b.n"),
    row("UGRNN", cells.ugrnn, "n g", weight_hh="U.n U.g", bias_hh="b.n b.g"),
    row("LiGRU", cells.ligru, "z n", weight_hh="U.z U.n", bias_hh="b.z b.n"),
    row("MinimalRNN", cells.minimal_rnn, "z", weight_hh="U.h", weight_mm="U.z", bias_hh="p.u"),
    row("LightRU", cells.lightru, "n f", weight_hh="U.f", bias_hh="b.f"),
    row("STAR", cells.star, "z k", weight_hh="U.k", bias_hh="b.k"),
    row("SGRN", cells.sgrn, "h", weight_hh="U.h", bias_hh="0"),
    row("SGU", cells.sgu, "g z", HARD, weight_hh="U.g U.z", bias_hh="0 b.z"),
    row("DSGU", cells.dsgu, "g z", HARD, weight_hh="U.g U.z", weight_ho="U.n", bias_hh="0 b.z"),
    row("IndRNN", cells.indrnn, "h", {"nonlinearity": "relu"}, vector_u="p.h", bias_hh="b.h"),
    row("BR", cells.brc, "a c h", weight_hh="p.a p.c", bias_hh="b.a b.c"),
    row("NBR", cells.nbrc, "a c h", weight_hh="U.a U.c", bias_hh="b.a b.c"),
    row("MUT1", cells.mut1, "", weight_ih="W.z W.r I", bias_ih="b.z b.r 0", weight_hh="U.r U.n", bias_hh="b.r p.n"),
    row("MUT2", cells.mut2, "", weight_ih="W.z I W.n", bias_ih="b.z p.r b.n", weight_hh="U.z U.r U.n",
        bias_hh="b.z p.r b.n"),
    row("MUT3", cells.mut3, "z r n", weight_hh="U.z U.r U.n", bias_hh="b.z b.r b.n"),
    row("NAS", cells.nas, "a1 a2 b1 b2 d1 d2 e1 e2", weight_hh="U.a1 U.a2 U.b1 U.b2 U.d1 U.d2 U.e1 U.e2",
        bias_hh="b.a1 b.a2 b.b1 b.b2 b.d1 b.d2 b.e1 b.e2"),
    row("FastRNN", cells.fastrnn, "h", weight_hh="U.h", bias_hh="b.h", alpha="p.alpha", beta="p.beta"),
    row("ResLSTM", cells.lstm_residual, "i f g o", weight_hh="U.i U.f U.g U.o", weight_ph="p.i p.f p.o",
        weight_proj="U.p", weight_res="U.x", bias_hh="b.i b.f b.g b.o"),
    row("MultiplicativeLSTM", cells.multiplicative_lstm, "", weight_ih="U.x W.i W.f W.g W.o",
        bias_ih="0 b.i b.f b.g b.o", weight_hh="U.m", weight_mh="U.i U.f U.g U.o", bias_hh="0",
        bias_mh="b.i b.f b.g b.o"),
    row("FastGRNN", cells.fastgrnn, "", {"nonlinearity": "sigmoid"}, weight_ih="U.w", bias_ih="p.z p.n",
        weight_hh="U.u", zeta="p.zeta", nu="p.nu", bias_hh="p.z p.n"),
    row("JANET", cells.janet, "f c", constants={"beta": "beta"}, weight_hh="U.f U.c", bias_hh="b.f b.c"),
    row("MiRU1", cells.miru1, "r n", constants={"update_coefficient": "update"}, weight_hh="U.r U.n",
        bias_hh="b.r b.n"),
    row("MiRU2", cells.miru2, "n", constants={"update_coefficient": "update", "reset_coefficient": "reset"},
        weight_hh="U.n", bias_hh="b.n"),
    row("TRNN", cells.trnn, "", weight_ih="U.z W.f", bias_ih="0 b.f"),
    row("TGRU", cells.tgru, "z f o", weight_hh="U.z U.f U.o", bias_hh="b.z b.f b.o"),
    row("TLSTM", cells.tlstm, "z f o", weight_hh="U.z U.f U.o", bias_hh="b.z b.f b.o"),
    row("ATR", cells.atr, "", weight_ih="U.p", weight_hh="U.q", bias_ih="0", bias_hh="0"),
    row("CFN", cells.cfn, "", weight_ih="W.f W.i U.n", bias_ih="b.f b.i 0", weight_hh="U.f U.i", bias_hh="b.f b.i"),
    row("RAN", cells.recurrent_additive_network, "", weight_ih="U.c W.i W.f", bias_ih="b.i b.f", weight_hh="U.i U.f",
        bias_hh="b.i b.f"),
    row("IntersectionRNN", cells.intersection_rnn, "y n u g", weight_hh="U.y U.n U.u U.g", bias_hh="b.y b.n b.u b.g"),
    row("coRNN", cells.cornn, "z", constants={name: name for name in ("dt", "gamma", "epsilon")}, weight_hh="U.y",
        weight_ch="U.z", bias_hh="b.z", bias_ch="b.z"),
    row("UnICORNN", cells.unicornn, "z", constants={"dt": "dt", "alpha": "alpha"}, weight_hh="p.y", weight_ch="p.c",
        bias_hh="b.z"),
    row("AntisymmetricRNN", cells.antisymmetric_rnn, "h", constants={"epsilon": "epsilon", "gamma": "gamma"},
        weight_hh="U.h", bias_hh="b.h"),
    row("GatedAntisymmetricRNN", cells.antisymmetric_rnn_gated, "z h",
        constants={"epsilon": "epsilon", "gamma": "gamma"}, weight_hh="U.h", bias_hh="b.h"),
)  # fmt: skip
"""The layers of torchrecurrent that compute a cell of `rnnspec.cells`."""

OTHERS = {
    "LEM": "its y sees the z of the step before, where the paper's sees the new one",
    "SCRN": "it feeds tanh of the output back, where the paper feeds the hidden state back",
    "tauGRU": "it keeps earlier states in a queue of its own, where our cell has them among its states",
}
"""The layers that compute another function than the paper of their name, and how it differs."""
