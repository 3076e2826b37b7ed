"""Noise as an argument of a call: dropout, zoneout and weight drop, the same bits on every backend.

>>> from rnnspec import Layer, Network, cells
>>> net = Network(3, [Layer(cells.lstm, 4, noise=Zoneout({"c": 0.5})), Dropout(0.2), Layer(cells.gru, 2)])
>>> [layer.noise for layer in net.layers]
[(Zoneout(rate=(('c', 0.5),)),), (Dropout(rate=0.2, masks=PerStep()),), ()]
"""

from rnnspec.noise.key import Key
from rnnspec.noise.kinds import Dropout, GateDropout, Noise, WeightDrop, Zoneout
from rnnspec.noise.lifetimes import Lifetime, PerSequence, PerStep

__all__ = ["Dropout", "GateDropout", "Key", "Lifetime", "Noise", "PerSequence", "PerStep", "WeightDrop",
           "Zoneout"]  # fmt: skip
