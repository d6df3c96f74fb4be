"""A second device where there is none: tensors that say they are on `meta`, hold their numbers here, and do not mix.

As on a GPU, an operation on tensors of both devices, or NumPy on a tensor of the other one, is an error; unlike
PyTorch's own FakeTensor the numbers are there, so that training can read its losses.
"""

from contextlib import contextmanager
from importlib import import_module
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
INDEXING = ("index", "index_put", "index_put_")  # whose indices may be here, as on a GPU


class Elsewhere(torch.Tensor):
    """A tensor on the second device."""

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, **layout, device=DEVICE)

    def __init__(self, inner):
        self.inner = inner

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return dispatch(operation, args, kwargs or {})

    def __format__(self, spec):
        return format(self.item(), spec)

    def numpy(self, *, force=False):
        return self.inner.numpy() if force else super().numpy()

    def tolist(self):
        return self.inner.tolist()


def dispatch(operation, args, kwargs):
    """Do an operation here, and say that its result is where its arguments or the device asked for are."""
    name = operation.overloadpacket.__name__
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    there = [x for x in tensors if isinstance(x, Elsewhere)]
    free = {id(x) for x in args[1]} if name in INDEXING and isinstance(args[0], Elsewhere) else set()
    here = [x for x in tensors if not isinstance(x, Elsewhere) and id(x) not in free]
    assert all(x.device != DEVICE for x in here), f"{name}: an empty tensor of the real meta device"
    if there and any(x.dim() for x in here) and name not in ("copy_", "_to_copy"):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found at least two devices")
    asked = kwargs.get("device")
    args, kwargs = tree_map(lambda x: x.inner if isinstance(x, Elsewhere) else x, (args, kwargs))
    if asked is not None:
        kwargs["device"] = torch.device("cpu")
    made = operation(*args, **kwargs)
    if not (there if asked is None else torch.device(asked) == DEVICE):
        return made
    same = {id(x.inner): x for x in there}

    def wrap(x):
        return same[id(x)] if id(x) in same else Elsewhere(x) if type(x) is torch.Tensor else x

    return tree_map(wrap, made)


class Everywhere(TorchDispatchMode):
    """What is computed within it is on the device that it asks for, or that its arguments are on."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return dispatch(operation, args, kwargs or {})


@contextmanager
def second_device():
    """Within it, `DEVICE` works like a GPU; what makes a tensor of numbers makes it here first, and then moves it."""
    optimizer = import_module("torch.optim.optimizer")  # torch.optim hides it
    tensor, fused = torch.tensor, optimizer._get_fused_kernels_supported_devices

    def moved(data, *, device=None, **kind):
        return tensor(data, **kind).to(device or "cpu")

    def like(self, data, **kind):
        return moved(data, **{"dtype": self.dtype, "device": self.device} | kind)

    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with (
            patch.object(torch, "tensor", moved),
            patch.object(torch.Tensor, "new_tensor", like),
            patch.object(optimizer, fused.__name__, lambda: [*fused(), DEVICE.type]),
            Everywhere(),
        ):
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
