"""The module is saved and restored in every way that PyTorch and safetensors have, and all of its weights come back."""

import copy
import io
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict

import rnnspec
from backends.torch_backend.branch import Branch
from backends.torch_backend.packing import joined
from rnnspec import Dense, Layer, Network, Path, cells
from rnnspec.tree import leaves

NET = Network(3, [Layer(cells.gru, 4, direction="bidirectional"), Layer(cells.lstm, 5)], output=Dense(2))
X = torch.from_numpy(np.sin(np.arange(36.0))).float().reshape(6, 2, 3)


@rnnspec.cell
def hidden_names(x, R, p, h):
    """Maps under names that `nn.Module` has for methods of its own, and beside them with an underscore."""
    return rnnspec.primitives.tanh(x.half + R.half(h) + R.half_(h) * p.training + x.float + R.tree(h))


TAKEN = Network(3, [Layer(hidden_names, 4), Layer(cells.lstm, 4)])


def layer(net=NET, seed=0, path=None):
    backend = rnnspec.get_backend("torch")
    return (backend if path is None else backend.through(path)).as_layer(net, seed=seed)


class Model(torch.nn.Module):
    """A model that holds the layer."""

    def __init__(self, rnn):
        super().__init__()
        self.encoder = torch.nn.ModuleList([rnn, torch.nn.Linear(2, 2)])


def through_pickle(saved, tmp_path):
    torch.save(saved, tmp_path / "saved.pt")
    return torch.load(tmp_path / "saved.pt", weights_only=False)


def by_safetensors(one, other, tmp_path):
    save_model(one, tmp_path / "m.safetensors")
    assert load_model(other, tmp_path / "m.safetensors") == (set(), [])
    return other


def by_a_file_of_the_state_dict(one, other, tmp_path):
    save_file(one.state_dict(), tmp_path / "m.safetensors")
    assert other.load_state_dict(load_file(tmp_path / "m.safetensors")) == ([], [])
    return other


def by_torch_save(one, other, tmp_path):
    torch.save(one.state_dict(), tmp_path / "m.pt")
    other.load_state_dict(torch.load(tmp_path / "m.pt", weights_only=True))
    return other


def by_a_mapped_file(one, other, tmp_path):
    torch.save(one.state_dict(), tmp_path / "m.pt")
    other.load_state_dict(torch.load(tmp_path / "m.pt", mmap=True), assign=True)
    return other


def on_the_meta_device(one, other, tmp_path):
    empty = other.to("meta").to_empty(device="cpu")
    empty.load_state_dict(one.state_dict())
    return empty


def assigned_on_the_meta_device(one, other, tmp_path):
    empty = other.to("meta")
    empty.load_state_dict(one.state_dict(), assign=True)
    return empty


def by_a_distributed_checkpoint(one, other, tmp_path):
    found = get_model_state_dict(other)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # one process it is
        checkpoint.save(get_model_state_dict(one), checkpoint_id=tmp_path / "dcp", no_dist=True)
        checkpoint.load(found, checkpoint_id=tmp_path / "dcp", no_dist=True)
    set_model_state_dict(other, found)
    return other


def by_writing_into_the_state_dict(one, other, tmp_path):
    for name, tensor in other.state_dict().items():
        tensor.copy_(one.state_dict()[name])
    return other


def by_data(one, other, tmp_path):
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        b.data[...] = a.data
    return other


def by_numpy(one, other, tmp_path):
    other(X)  # nothing that is kept may be stale
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        b.detach().numpy()[...] = a.detach().numpy()
    return other


WAYS = (by_safetensors, by_a_file_of_the_state_dict, by_torch_save, by_a_mapped_file, on_the_meta_device,
        assigned_on_the_meta_device, by_a_distributed_checkpoint, by_writing_into_the_state_dict, by_data, by_numpy)
COPIES = {"torch.save": through_pickle, "deepcopy": lambda m, _: copy.deepcopy(m),
          "there and back": lambda m, _: m.double().float(), "a vector": lambda m, _: vector(m)}  # fmt: skip


def vector(module):
    other = layer(module.net, 9)
    torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(module.parameters()), other.parameters())
    return other


def same(one, other):
    assert list(one.state_dict()) == list(other.state_dict())
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize("net", [NET, TAKEN], ids=["halves", "taken"])
@pytest.mark.parametrize("way", WAYS)
def test_every_weight_comes_back(way, net, tmp_path):
    one, other = layer(net, seed=1), layer(net, seed=2)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.nn.init.uniform_(a)
        assert not torch.equal(a, b)
    found = way(one, other, tmp_path)
    same(one, found)
    assert torch.equal(found(X)[0], one(X)[0])


@pytest.mark.parametrize("way", WAYS)
def test_every_weight_of_a_model_around_it_comes_back(way, tmp_path):
    one, other = Model(layer(seed=1)), Model(layer(seed=2))
    found = way(one, other, tmp_path) if way is not by_numpy else by_data(one, other, tmp_path)
    same(one, found)
    assert "encoder.0.layers.0.forward.W.r" in one.state_dict()


@pytest.mark.parametrize("net", [NET, TAKEN], ids=["halves", "taken"])
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("path", [None, Path.FRAMEWORK])
def test_a_copy_of_the_module_has_every_weight(path, way, net, tmp_path):
    module = layer(net, 1, path)
    expected = module(X)[0].detach()
    found = COPIES[way](module, tmp_path)
    same(module, found)
    torch.testing.assert_close(found(X)[0], expected, rtol=0, atol=0 if path is None or way != "a vector" else 1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_dtype_is_saved(dtype, tmp_path):
    one, other = layer(seed=1).to(dtype), layer(seed=2).to(dtype)
    same(one, by_safetensors(one, other, tmp_path))
    assert other(X.to(dtype))[0].dtype == dtype


def test_a_file_holds_each_number_once():
    module = layer(Network(3, [Layer(cells.lstm, 64)]))
    for saved in (module, module.state_dict(), dict(list(module.state_dict().items())[:1])):
        file = io.BytesIO()
        torch.save(saved, file)
        tensors = saved.values() if isinstance(saved, dict) else saved.parameters()
        assert len(file.getvalue()) < sum(a.nbytes for a in tensors) + 20_000


def test_what_is_wrong_with_a_file_is_told_in_its_names():
    found = layer(seed=1).state_dict()
    wrong = dict(found) | {"layers.0.forward.W.more": torch.zeros(1)}
    del wrong["layers.0.forward.W.r"]
    told = layer().load_state_dict(wrong, strict=False)
    assert told == (["layers.0.forward.W.r"], ["layers.0.forward.W.more"])
    for name, shape in (("layers.0.forward.b.z", 7), ("layers.1.forward.W.i", 1)):
        with pytest.raises(RuntimeError, match=rf"size mismatch for encoder\.0\.{name.replace('.', '[.]')}:"):
            Model(layer()).load_state_dict({f"encoder.0.{name}": torch.zeros(shape)}, strict=False)


def test_a_module_that_an_older_version_pickled_is_loaded(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("backends.torch_backend.branch._inner", lambda name: name)
        patch.setattr("backends.torch_backend.branch._declared", lambda name: name)
        file = io.BytesIO()
        old = layer(seed=1)
        assert "layers.0.forward.W.r" in dict(old.named_parameters())
        torch.save(old, file)
    found = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    same(layer(seed=1), found)
    assert torch.equal(found(X)[0], layer(seed=1)(X)[0])


def test_names_are_declared_in_files_and_free_in_the_module():
    module = layer(TAKEN)
    assert list(module.state_dict()) == [name for name, _ in leaves(TAKEN.init(0))]
    for name, parameter in module.named_parameters():
        found = module
        for part in name.split("."):
            found = getattr(found, part)
        assert found is parameter
    assert isinstance(module.get_submodule("layers.0.forward.W"), Branch)


def test_a_state_of_an_optimiser_comes_back(tmp_path):
    one, other = layer(seed=1), layer(seed=2)
    steps = [torch.optim.Adam(module.named_parameters(), lr=0.1) for module in (one, other)]
    one(X)[0].sum().backward()
    steps[0].step()
    other.load_state_dict(one.state_dict())
    steps[1].load_state_dict(through_pickle(steps[0].state_dict(), tmp_path))
    for module, step in zip((one, other), steps, strict=True):
        step.zero_grad()
        module(X)[0].sum().backward()
        step.step()
    same(one, other)


@pytest.mark.parametrize("came_by", [lambda m: m, copy.deepcopy, lambda m: m.to(torch.bfloat16),
                                     lambda m: m.to("meta").to_empty(device="cpu")])  # fmt: skip
def test_each_parameter_has_a_storage_of_its_own_and_none_is_copied_for_a_kernel(came_by):
    module = came_by(layer(Network(3, [Layer(cells.lstm, 4)])))
    for parameter in module.parameters():
        storage = parameter.untyped_storage()
        assert (storage.data_ptr(), storage.nbytes()) == (parameter.data_ptr(), parameter.nbytes)
    for kind in "WUb":
        maps = list(module.get_submodule(f"layers.0.forward.{kind}").parameters())
        assert joined(maps).data_ptr() == maps[0].data_ptr()
        torch.testing.assert_close(joined(maps), torch.cat(maps), rtol=0, atol=0, equal_nan=True)  # whatever was there


def test_parameters_that_were_put_elsewhere_are_read_there():
    module, other = layer(Network(3, [Layer(cells.lstm, 4)])), layer(Network(3, [Layer(cells.lstm, 4)]), seed=1)
    module(X)
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        a.data = b.detach().clone()
    assert torch.equal(module(X)[0], other(X)[0])
