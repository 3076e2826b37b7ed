"""Parameters in shards become one file of rnnspec, and one file becomes shards."""

from torch import distributed
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard

import rnnspec
from rnnspec import Network
from rnnspec.tree import named_map

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def gathered(be, module):
    """The whole parameters of a module of `as_layer`, on rank 0; every worker must call it."""
    found = get_model_state_dict(module, options=WHOLE)
    return be.to_numpy(named_map(lambda name, _: found[name], module.net.parameter_shapes())) if found else None


def to_file(path, be, modules):
    """Write modules of `as_layer`, each of which reads the outputs of the one before it, as one network."""
    trees, nets = [gathered(be, module) for module in modules], [module.net for module in modules]
    if distributed.get_rank() == 0:
        params = {**trees[-1], "layers": [layer for tree in trees for layer in tree["layers"]]}
        layers = [layer for net in nets for layer in net.layers]
        rnnspec.save(path, Network(nets[0].inputs, layers, output=nets[-1].output), params)


def from_file(path, be, mesh):
    """A module whose parameters are in shards, from a file that every worker reads."""
    net, params = rnnspec.load(path)
    return fully_shard(be.as_layer(net, params=params), mesh=mesh)
