"""Layers of Keras as people write them, right and with one fault each, for the suite to judge."""

from __future__ import annotations

import keras
from keras import ops


class FaultyCell(keras.layers.LSTMCell):
    """Changes what its gates are made of."""

    def change(self, z):
        return z

    def _compute_carry_and_output_fused(self, z, c_tm1):
        return super()._compute_carry_and_output_fused(self.change(list(z)), c_tm1)


class SwappingCell(FaultyCell):
    def change(self, z):
        i, f, g, o = z
        return [o, f, g, i]


class ForgettingCell(FaultyCell):
    def change(self, z):
        i, f, g, o = z
        return [i, f + 1, g, o]


class UnbiasedCell(keras.layers.LSTMCell):
    def call(self, inputs, states, training=False):
        kept, self.bias = self.bias, ops.zeros_like(self.bias)
        try:
            return super().call(inputs, states, training)
        finally:
            self.bias = kept


class WithCell(keras.layers.LSTM):
    """An LSTM with another cell."""

    made: type

    def __init__(self, units, **options):
        super().__init__(units, use_cudnn=False, **options)
        self.cell = self.made(units, dtype=self.dtype_policy)


class GatesSwapped(WithCell):
    made = SwappingCell


class ForgetBiasAdded(WithCell):
    made = ForgettingCell


class StateIgnored(keras.layers.LSTM):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        return super().call(sequences, None, mask, training)


class LengthsIgnored(keras.layers.LSTM):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        return super().call(sequences, initial_state, None, training)


class FinalGradientDropped(keras.layers.LSTM):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        outputs, h, c = super().call(sequences, initial_state, mask, training)
        return outputs, h, ops.stop_gradient(c)


class BiasDropped(keras.layers.LSTM):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        kept = self.cell.bias
        self.cell._tracker.unlock()
        self.cell.bias = kept * 0
        try:
            return super().call(sequences, initial_state, mask, training)
        finally:
            self.cell.bias = kept


FAULTY = (GatesSwapped, ForgetBiasAdded, StateIgnored, LengthsIgnored, FinalGradientDropped, BiasDropped)


def bidirectional(inputs, hidden):
    """A factory of things that have both directions."""
    layer = keras.layers.LSTM(hidden, return_sequences=True, return_state=True)
    return keras.layers.Bidirectional(layer, dtype=layer.dtype_policy)
