"""The published cells: equations as in the papers, and nothing else; one file for each family."""

from rnnspec.cells.simple import (
    elman as elman,
    elman_relu as elman_relu,
    fastrnn as fastrnn,
    multiplicative_rnn as multiplicative_rnn,
    mi_rnn as mi_rnn,
)
from rnnspec.cells.lstms import (
    lstm_original as lstm_original,
    lstm as lstm,
    lstm_peephole as lstm_peephole,
    lstm_projected as lstm_projected,
    lstm_coupled as lstm_coupled,
    mclstm as mclstm,
    wmclstm as wmclstm,
    lstm_residual as lstm_residual,
    lstm_layer_norm as lstm_layer_norm,
    multiplicative_lstm as multiplicative_lstm,
    mogrifier_lstm as mogrifier_lstm,
    fast_slow as fast_slow,
)
from rnnspec.cells.grus import (
    gru as gru,
    gru_reset_before as gru_reset_before,
)
from rnnspec.cells.one_gate import (
    mgu as mgu,
    ugrnn as ugrnn,
    ligru as ligru,
    minimal_rnn as minimal_rnn,
    lightru as lightru,
    star as star,
    sgrn as sgrn,
    sgu as sgu,
    dsgu as dsgu,
    fastgrnn as fastgrnn,
    janet as janet,
    miru1 as miru1,
    miru2 as miru2,
)
from rnnspec.cells.diagonal import (
    indrnn as indrnn,
    brc as brc,
    nbrc as nbrc,
    paragru as paragru,
    paralstm as paralstm,
    sru as sru,
)
from rnnspec.cells.searched import (
    mut1 as mut1,
    mut2 as mut2,
    mut3 as mut3,
    nas as nas,
)
from rnnspec.cells.exponential import (
    slstm as slstm,
    mlstm as mlstm,
)
from rnnspec.cells.linear import (
    mingru as mingru,
    mingru_log as mingru_log,
    minlstm as minlstm,
    hgrn as hgrn,
    rglru as rglru,
)
from rnnspec.cells.typed import (
    trnn as trnn,
    tgru as tgru,
    tlstm as tlstm,
    qrnn as qrnn,
)
from rnnspec.cells.additive import (
    atr as atr,
    cfn as cfn,
    recurrent_additive_network as recurrent_additive_network,
)
from rnnspec.cells.highway import (
    rhn as rhn,
    intersection_rnn as intersection_rnn,
)
from rnnspec.cells.timescales import (
    lem as lem,
    scrn as scrn,
    taugru as taugru,
)
from rnnspec.cells.oscillators import (
    cornn as cornn,
    unicornn as unicornn,
)
from rnnspec.cells.antisymmetric import (
    antisymmetric_rnn as antisymmetric_rnn,
    antisymmetric_rnn_gated as antisymmetric_rnn_gated,
    lipschitz_rnn as lipschitz_rnn,
)
from rnnspec.cells.state_space import (
    lru as lru,
    s5 as s5,
    s4d as s4d,
    mamba as mamba,
    mamba2 as mamba2,
)
from rnnspec.cells.linear_attention import (
    retnet as retnet,
    gla as gla,
    hgrn2 as hgrn2,
    rwkv6 as rwkv6,
)
from rnnspec.cells.delta_rule import (
    deltanet as deltanet,
    gated_deltanet as gated_deltanet,
    kda as kda,
    gdn2 as gdn2,
    deltaproduct as deltaproduct,
    rwkv7 as rwkv7,
)
from rnnspec.cells.feed_forward import (
    dense as dense,
    layer_norm as layer_norm,
    rms_norm as rms_norm,
)
