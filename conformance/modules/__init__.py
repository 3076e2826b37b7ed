"""Things that people have, judged as backends: modules of torch, layers of Keras, modules of Flax nnx, ONNX models.

    spec           `package:Thing` or a file: what it names
    family         what a side must say of its things, and what one that runs is asked
    families       the four sides, each imported when one of its things is met
    source         a thing with the cell that it is judged as: what it can do, and one of any size
    backend        a source as a backend of rnnspec

Parameters are written into the thing by the tables of `rnnspec.convert`; what it lacks is declared, never emulated.
"""

from __future__ import annotations

from conformance.modules.backend import ModuleBackend, load
from conformance.modules.spec import is_module

__all__ = ["ModuleBackend", "is_module", "load"]
