"""The parts of an exported Python file that are the same for every network."""

from __future__ import annotations

from string import Template

__all__ = ["CHECK_CLASSES", "CHECK_FEATURES", "DECODED", "HEAD", "LAST", "OUTPUT", "READ_BESIDE", "RUN", "SEE_CLASSES",
           "SEE_FEATURES", "STEP", "TOP", "TURNED"]  # fmt: skip

TOP = Template('''"""$name: a recurrent network, which rnnspec wrote from its equations.

run(x, state=None, lengths=None) reads $reads, and returns the outputs $outputs of
$features features and the final state.$has_step
"""

${imports}import numpy as np

DTYPE = np.$dtype

''')

READ_BESIDE = Template('''SHAPES = {
$shapes
}
"""The shape of every parameter, which the file beside this one must have."""


def read():
    """The parameters, from the file beside this one."""
    beside = __file__.removesuffix(".py") + ".npz"
    with np.load(beside) as file:
        found = {name: file[name] for name in file.files}
    if {name: found[name].shape for name in sorted(found)} != SHAPES:
        raise ValueError(f"{beside}: it must hold the parameters of $name, got others; export the network again")
    found = {name: a.astype(DTYPE) for name, a in found.items()}
    return {name: a * found.get(name + " scale", 1) for name, a in found.items() if not name.endswith(" scale")}


PARAMETERS = read()
''')

DECODED = '''def decoded(shape, kind, text):
    """An array from its bytes in base64."""
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


'''

TURNED = '''def turned(a, lengths):
    """The steps of each row in reverse order, padding in its place."""
    t = np.arange(len(a))[:, None]
    return a[np.where(t < lengths, lengths - 1 - t, t), np.arange(len(lengths))]


'''

RUN = Template('''class Named:
    """The parameters below one place, as attributes: W.i is that of the name place.i."""

    def __init__(self, place):
        vars(self).update({name[len(place) + 1:]: a for name, a in PARAMETERS.items() if name.startswith(place + ".")})


class Half:
    """One layer in one direction: its cell, its parameters, and the shapes of its states and of its output in a row."""

    def __init__(self, place, cell, states, shape):
        self.place, self.cell, self.states, self.shape = place, cell, states, shape
        self.parameters = [Named(place + "." + kind) for kind in "WbUp"]

    def begin(self, batch):
        """The states that a sequence begins with: learned ones, or zeros."""
        learned = {name: PARAMETERS.get(f"{self.place}.initial.{name}", 0) for name in self.states}
        return {name: np.zeros((batch, *shape), DTYPE) + learned[name] for name, shape in self.states.items()}

    def run(self, x, state, lengths):
        """The outputs (time, batch, features) in the order of x, zeros after a row's end, and the final states."""
        steps, batch = x.shape[:2]
        width = int(np.prod(self.shape))
        outputs = np.zeros((steps, batch, width), DTYPE)
        now = [np.asarray(state[name], DTYPE) for name in self.states]
        for t in range(steps):
            y, new = self.cell(x[t], *self.parameters, *now)
            real = t < lengths
            outputs[t, real] = np.broadcast_to(y, (batch, *self.shape)).reshape(batch, width)[real]
            now = [np.where(real.reshape(batch, *[1] * (old.ndim - 1)), a, old) for a, old in zip(new, now)]
        return outputs, dict(zip(self.states, now))


LAYERS = [
$layers
]
$head

@np.errstate(all="ignore")
def run(x, state=None, lengths=None):
    """The outputs $outputs, and the final state.

    x are $reads. `lengths` (batch,) are the numbers of steps of the rows: what stands after them has
    no effect, and outputs there are zeros. A state is a list with {"forward": {"h": (batch, width)}} for each layer,
    and left out a sequence begins with $begins. Raises ValueError where an argument does not fit.
    """
$check    steps, batch = x.shape[:2]
    lengths = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    if lengths.shape != (batch,) or lengths.dtype.kind not in "iu" or np.any((lengths < 0) | (lengths > steps)):
        raise ValueError(f"run(x, lengths): lengths must be {batch} whole numbers from 0 to {steps}, got "
                         f"{lengths.tolist()}; give the number of steps of each row")
    lengths = lengths.astype(np.int64)
    state = [{name: half.begin(batch) for name, half in layer.items()} for layer in LAYERS] if state is None else state
    real = (np.arange(steps)[:, None] < lengths)[..., None]
$seen    final = []
    for $layer in $pairs:
        found = {$halves}
        final.append({name: new for name, (_, new) in found.items()})
        values = $joined
$end    return values, final


''')

CHECK_FEATURES = Template('''    x = np.asarray(x, DTYPE)
    if x.ndim != 3 or x.shape[2] != $inputs:
        raise ValueError(f"run(x): x must be (time, batch, $inputs), got {x.shape}; give such an array")
''')
SEE_FEATURES = Template("    values = np.where(real, x, 0)\n")
CHECK_CLASSES = Template('''    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind not in "iu":
        raise ValueError(f"run(x): x must be whole numbers (time, batch), got {x.dtype} {x.shape}; give such an array")
''')
SEE_CLASSES = Template('''    x = np.where(real[..., 0], x, 0)
    if np.any((x < 0) | (x >= $inputs)):
        raise ValueError(f"run(x): x must be class numbers below $inputs, got {x.min()} to {x.max()}; correct them")
    values = np.where(real, PARAMETERS["embedding.E"][x], 0)
''')
"""How inputs are checked, and how the first layer sees them: features, or class numbers."""

LAST = Template('''    rows, real = np.arange(batch), (lengths > 0)[:, None]
    values = np.concatenate([$parts], -1) if steps else np.zeros((batch, $width), DTYPE)
    values = np.where(real, values, 0)
''')
"""Each direction's last step: that of time 0 of a reverse half."""

HEAD = Template('''    for i, half in enumerate(HEAD):
        found = half.run(values$first, {}, $lengths)[0]$only
        values = $joined
''')
"""The layers after what is read; what `Last()` reads is one step, which rows of length 0 lack."""

OUTPUT = Template('''    values = np.where(real, values @ PARAMETERS["$matrix"].T + PARAMETERS["output.b"], 0)
''')

STEP = Template('''def step(x_t, state=None):
    """The outputs (batch, features) of one step x_t $read_step, and the state after it, for the next step."""
    values, state = run(np.asarray(x_t)[None], state)
    return $first, state
''')
