"""The state of a stream, in variables that a call reads at its start and writes at its end."""

from __future__ import annotations

import tensorflow as tf

from rnnspec.contract.arrays import Array
from rnnspec.errors import ShapeError
from rnnspec.network import Network
from rnnspec.tree import Tree, filled, flat_as, leaves

__all__ = ["KeptState"]


class KeptState(tf.Module):  # type: ignore[misc]  # TensorFlow's types are not read
    """The state of so many rows; a module, so that a SavedModel and a checkpoint find its variables.

    Raises ShapeError where the number of rows is not known.
    """

    def __init__(self, net: Network, batch: int | None, dtype: str) -> None:
        super().__init__()
        if batch is None:
            raise ShapeError("NetworkLayer.build(input_shape)", "a stateful layer must know the number of rows",
                             "batch None", "give keras.Input a batch_shape")  # fmt: skip
        self.net, self.batch = net, batch
        self.anew = tf.Variable(tf.ones(batch, tf.bool), trainable=False, name="anew")
        shapes = leaves(net.state_shapes(batch))
        self.parts = [tf.Variable(tf.zeros(tuple(shape), dtype), trainable=False, name=name) for name, shape in shapes]

    def read(self, first: Tree) -> Tree:
        """The state as the network's tree of tensors; `first` in the rows that begin anew."""
        shapes = self.net.state_shapes(self.batch)
        parts = [tf.where(_beside(self.anew, part), new, part)
                 for part, new in zip(self.parts, flat_as(shapes, first), strict=True)]  # fmt: skip
        return filled(shapes, parts)

    def write(self, state: Tree) -> None:
        """Keep another state."""
        for part, new in zip(self.parts, flat_as(self.net.state_shapes(self.batch), state), strict=True):
            part.assign(new)
        self.anew.assign(tf.zeros_like(self.anew))

    def reset(self, rows: Array | None) -> None:
        """Begin anew in the rows where `rows` is true; in all rows if it is None."""
        self.anew.assign(tf.ones_like(self.anew) if rows is None else self.anew | rows)


def _beside(rows: Array, part: Array) -> Array:
    """True or false for each row, beside a part of the state."""
    return tf.reshape(rows, (-1, *[1] * (len(part.shape) - 1)))
