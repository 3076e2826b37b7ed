"""A process with settings of its own that uses a backend: `python guest_host.py NAME` prints what became of them."""
# ruff: noqa: PLC0415  # one host imports one framework

from __future__ import annotations

import importlib
import json
import locale
import logging
import os
import random
import signal
import sys
import warnings
from pathlib import Path

import numpy as np


def of_python():
    """What any guest could change; a logger without a level of its own changes nothing."""
    levels = {name: logging.getLogger(name).level for name in sorted(logging.root.manager.loggerDict)}
    loggers = {name: level for name, level in levels.items() if level != logging.NOTSET}
    return {
        "environment": dict(os.environ),
        "random": hash(random.getstate()),
        "numpy.random": [np.random.get_state()[1].tolist(), np.random.get_state()[2]],
        "numpy errors": np.geterr(),
        "numpy print": np.get_printoptions(),
        "log level": [logging.root.level, len(logging.root.handlers), logging.root.manager.disable, loggers],
        "warnings": len(warnings.filters),
        "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "folder": str(Path.cwd()),
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion": sys.getrecursionlimit(),
    }


def torch_host():
    """PyTorch, with defaults that are not its own."""
    import torch

    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(2)
    torch.manual_seed(5)
    return lambda: {
        "dtype": str(torch.get_default_dtype()),
        "device": str(torch.get_default_device()),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "random": torch.random.get_rng_state().tolist(),
        "gradients": [torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": [torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled],
    }


def jax_host():
    """JAX, with 64 bits on, so that a guest in 32 bits has to mind them."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    return lambda: {
        "values": {name: str(value) for name, value in jax.config.values.items()},
        "seen here": [jax.config.jax_enable_x64, str(jax.config.jax_default_device), str(jax.numpy.zeros(1).dtype)],
    }


def tensorflow_host():
    """TensorFlow, with a seed, a thread count and a log level."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.set_soft_device_placement(False)
    tf.random.set_seed(5)
    tf.get_logger().setLevel("WARNING")
    threading = tf.config.threading
    return lambda: {
        "threads": [threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()],
        "placement": tf.config.get_soft_device_placement(),
        "seed": context.global_seed(),
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "optimizer": [tf.config.optimizer.get_experimental_options(), tf.config.optimizer.get_jit()],
        "eager": [tf.executing_eagerly(), tf.config.functions_run_eagerly()],
        "log": tf.get_logger().level,
        "floatx": importlib.import_module("keras").config.floatx(),
        "visible": [str(device) for device in tf.config.get_visible_devices()],
    }


def numpy_host():
    """NumPy alone: `of_python` sees all of it."""
    return dict


HOSTS = {"numpy": numpy_host, "torch": torch_host, "jax": jax_host, "tensorflow": tensorflow_host}


def use(name):
    """The dtypes of what both precisions give, called in turn."""
    import rnnspec
    from rnnspec import Dense, Last, Layer, Network, cells, chain, losses, policies, updates

    net = Network(2, [Layer(cells.gru, hidden=3)], Last(), Dense(4), losses.SoftmaxCrossEntropy())
    rule = chain(policies.ClipByGlobalNorm(1.0), updates.Adam())
    params, found = net.init(0), []
    backends = [rnnspec.get_backend(name, precision=precision) for precision in ("f32", "f64", "f32")]
    for backend in backends:
        outputs = backend.run(net, params, np.ones((3, 2, 2)), lengths=np.array([3, 1])).outputs
        given = (params, rule.init(params), np.ones((3, 2, 2)), np.array([0, 3]))
        done = backend.train_step(net, rule, *given)
        kinds = {backend.own_dtype(array) for array in (outputs, done.params["output"]["W"], done.loss_sum)}
        found.append([*kinds, float(backend.to_numpy(done.loss_sum))])
    return found


if __name__ == "__main__":
    random.seed(5)
    np.random.seed(5)
    state = HOSTS[sys.argv[1]]()
    use("numpy")
    before = json.loads(json.dumps([of_python(), state()], default=str))
    found = use(sys.argv[1])
    after = json.loads(json.dumps([of_python(), state()], default=str))
    print(json.dumps({"before": before, "after": after, "found": found}))
