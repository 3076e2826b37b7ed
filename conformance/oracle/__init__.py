"""The oracle: what a network computes, by plain loops straight from the equations, with a reverse mode of its own.

It shares no code with what it judges but the declarations: cells, losses, policies, rules, networks. Every array it
gives has a leading axis of runs: run 0 is exact arithmetic of the oracle's dtype, every other run is the same
calculation with the rounding of a declared precision put in after each operation. With `EXACT` there is run 0 alone.

>>> import numpy as np, rnnspec
>>> net = rnnspec.Network(inputs=1, layers=[rnnspec.Layer(rnnspec.cells.mingru, hidden=2)])
>>> run(net, net.init(0), np.ones((3, 1, 1))).outputs.shape
(1, 3, 1, 2)
"""

from conformance.oracle.arithmetic import EXACT, EXTENDED, Arithmetic, Kinks
from conformance.oracle.calls import Batch, pullback, run, train, value_and_grad

__all__ = ["EXACT", "EXTENDED", "Arithmetic", "Batch", "Kinks", "pullback", "run", "train", "value_and_grad"]
