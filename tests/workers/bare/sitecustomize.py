"""Hides from a process, in whose path this folder is, what TensorFlow and Keras import only where it is installed.

They need none of it for workers, and it is half of what their start costs.
"""

import sys

HIDDEN = ("jax", "matplotlib", "pandas", "sklearn")


class Hiding:
    """Finds no module, and says of the hidden ones that they are not there: who looks into sys.modules sees none."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Hiding)
