"""The oracle: the reference implementation in extended precision, with plain loops over the equations.

It has its own reverse mode, and shares only declarations with backends: cells, losses, policies, rules, networks. Its
arrays have a leading axis of runs. Run 0 is the exact arithmetic of the oracle's dtype; every other run is the same
calculation with the rounding of a declared precision after each operation. With `EXACT` there is run 0 only.

>>> import numpy as np, rnnspec
>>> net = rnnspec.Network(inputs=1, layers=[rnnspec.Layer(rnnspec.cells.mingru, hidden=2)])
>>> run(net, net.init(0), np.ones((3, 1, 1))).outputs.shape
(1, 3, 1, 2)
"""

from conformance.oracle.arithmetic import EXACT, EXTENDED, Arithmetic, Kinks
from conformance.oracle.calls import Batch, pullback, run, shared, train, value_and_grad

__all__ = ["EXACT", "EXTENDED", "Arithmetic", "Batch", "Kinks", "pullback", "run", "shared", "train",
           "value_and_grad"]  # fmt: skip
