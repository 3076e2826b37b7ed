"""What each law says, and what its failure means: one module for each theme, in the order of the pages.

The checks are in `conformance.properties`; each takes its statement from here by its id.

>>> SEQUENCE["P11"].name
'split in time'
"""

from __future__ import annotations

from conformance.statements.alignment import ALIGNMENT
from conformance.statements.calls import CALLS
from conformance.statements.clipping import CLIPPING
from conformance.statements.concurrency import CONCURRENCY
from conformance.statements.embedding import EMBEDDING
from conformance.statements.equations import EQUATIONS
from conformance.statements.extremes import EXTREMES
from conformance.statements.layers import LAYERS
from conformance.statements.models import MODELS
from conformance.statements.noise import NOISE
from conformance.statements.operands import OPERANDS
from conformance.statements.padding import PADDING
from conformance.statements.parallel import PARALLEL
from conformance.statements.paths import PATHS
from conformance.statements.recurrence import RECURRENCE
from conformance.statements.resets import RESETS
from conformance.statements.rows import ROWS
from conformance.statements.sequence import SEQUENCE
from conformance.statements.statement import Statement, Theme
from conformance.statements.training import TRAINING
from conformance.statements.values import VALUES
from conformance.statements.workers import WORKERS

__all__ = ["ALIGNMENT", "CALLS", "CLIPPING", "CONCURRENCY", "EMBEDDING", "EQUATIONS", "EXTREMES", "LAYERS", "MODELS",
           "NOISE", "OPERANDS", "PADDING", "PARALLEL", "PATHS", "RECURRENCE", "RESETS", "ROWS", "SEQUENCE", "THEMES",
           "TRAINING", "VALUES", "WORKERS", "Statement", "Theme"]  # fmt: skip

THEMES = (VALUES, SEQUENCE, LAYERS, ROWS, PADDING, EQUATIONS, EXTREMES, ALIGNMENT, CALLS, CONCURRENCY, RECURRENCE,
          CLIPPING, TRAINING, PATHS, RESETS, PARALLEL, OPERANDS, MODELS, EMBEDDING, NOISE,
          WORKERS)  # fmt: skip
"""In the order in which the pages list them."""
