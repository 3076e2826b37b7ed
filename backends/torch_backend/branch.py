"""A branch of a network's tree of parameters, as an `nn.Module`.

Files have the names that the network declares. In the module, a name that `nn.Module` uses itself, such as `forward`,
ends in an underscore, so that tools which follow a parameter's name attribute by attribute find the parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn

from backends.torch_backend.packing import alike, side_by_side
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree

__all__ = ["Branch"]

BRANCHES = (dict, list)
OWN = frozenset(dir(nn.Module()))


class Branch(nn.Module):  # type: ignore[misc]  # PyTorch's types are not read
    """A module of parameters; maps that a kernel reads as one lie side by side, also after a move or a copy."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if isinstance(value, torch.Tensor):
                self._parameters[_inner(str(name))] = nn.Parameter(value.detach().clone())
            else:
                self._modules[_inner(str(name))] = Branch(value)
        self._lay_together()

    def _lay_together(self) -> None:
        maps = list(self._parameters.values())
        shared = any(a.device.type == "cpu" and a.is_shared() for a in maps)  # with other processes: leave it in place
        if alike(maps) and not shared:
            for parameter, beside in zip(maps, side_by_side([a.detach() for a in maps]), strict=True):
                parameter.data = beside

    def _apply(self, function: Callable[[Array], Array], recurse: bool = True) -> Branch:
        super()._apply(function, recurse)
        self._lay_together()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for table in (self._modules, self._parameters):
            _rename(table, lambda name: _inner(name) if name in OWN else name)  # a pickle of an older rnnspec
        self._lay_together()

    @property
    def forward(self) -> Any:
        """The half that runs forward, under its declared name; nothing calls a branch."""
        return self.get_submodule("forward_")

    def first(self) -> Array:
        """One of the parameters, all of which have one dtype and are on one device."""
        for parameter in self._parameters.values():
            return parameter
        for branch in self._modules.values():
            found = branch.first()
            if found is not None:
                return found
        return None

    def tree(self, model: Tree) -> Tree:
        """The parameters as the network's tree; its innermost branches are the module's own dicts."""
        if isinstance(model, list):
            return [self._modules[str(i)].tree(part) for i, part in enumerate(model)]
        if self._parameters.keys() == model.keys():  # the quickest question first: every call asks it
            return self._parameters
        if any(isinstance(part, BRANCHES) for part in model.values()):
            return {name: self._modules[_inner(name)].tree(part) for name, part in model.items()}
        return self._computed(model)

    def _computed(self, model: Tree) -> Tree:
        """The maps where some are computed from other parameters, as by `parametrize` and `prune`."""
        for hook in self._forward_pre_hooks.values():
            hook(self, None)
        return {name: getattr(self, _inner(name)) for name in model}

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """The state_dict of `nn.Module`, under the declared names."""
        found = super().state_dict(*args, destination=destination, prefix=prefix, keep_vars=keep_vars)
        _rename(found, partial(_renamed, prefix, _declared))
        return found

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:
        """Load a branch; afterwards `nn.Module` reports faults in the file's names."""
        _rename(state_dict, partial(_renamed, prefix, _inner))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)  # fmt: skip

        def renamed(module: Branch, incompatible: Any) -> None:
            hook.remove()
            for names in (incompatible.missing_keys, incompatible.unexpected_keys):
                names[:] = [_renamed(prefix, _declared, name) for name in names]
            for name in (*self._modules, *self._parameters):
                error_msgs[:] = [text.replace(prefix + name, prefix + _declared(name)) for text in error_msgs]

        hook = self.register_load_state_dict_post_hook(renamed)


@lru_cache(maxsize=1024)
def _inner(name: str) -> str:
    return name + "_" if _is_taken(name) else name


@lru_cache(maxsize=1024)
def _declared(name: str) -> str:
    return name[:-1] if name.endswith("_") and _is_taken(name) else name


def _is_taken(name: str) -> bool:
    """Whether a name without its underscores is one that `nn.Module` uses, so that no two names become equal."""
    bare = name.rstrip("_")
    return bare in OWN or hasattr(Branch, bare)


def _renamed(prefix: str, change: Callable[[str], str], key: str) -> str:
    """A key of a state_dict, changed after the prefix."""
    if not key.startswith(prefix):
        return key
    head, dot, rest = key[len(prefix) :].partition(".")
    return f"{prefix}{change(head)}{dot}{rest}"


def _rename(table: Any, change: Callable[[str], str]) -> None:
    """Rename the keys of a dict in place, in the same order."""
    names = {name: change(name) for name in table}
    if any(name != new for name, new in names.items()):
        entries = [(new, table[name]) for name, new in names.items()]
        table.clear()
        table.update(entries)
