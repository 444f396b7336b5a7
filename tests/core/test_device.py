"""Which device computes, and that on Apple's nothing asks for float64, which it does not have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_families import CONDITIONS, FAMILIES, NARROW, TOKENS, TRANSFORMER, build, small_data
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from core.errors import FourfoldError, Unsupported
from core.families import AutoregressiveConfig, DiffusionConfig, Masking
from core.runtime import resolve_device
from core.seeds import Rows

OF_TOKENS = {
    "autoregressive": AutoregressiveConfig(model=TRANSFORMER, conditioning=NARROW),
    "diffusion": DiffusionConfig(denoiser=TRANSFORMER, process=Masking(), conditioning=NARROW),
}
CPU, MPS = torch.device("cpu"), torch.device("mps")


class PretendedMPS(TorchFunctionMode):
    """Tensors say that they are on MPS, unless they were moved or made elsewhere; a float64 there is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: dict[int, Tensor] = {}
        self.moved = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs))
        if func == Tensor.device.__get__:  # which is made anew each time it is asked for
            return CPU if id(args[0]) in self.elsewhere else MPS
        to_mps = MPS in [value for value in given if isinstance(value, torch.device)]
        to_cpu = func is Tensor.cpu or (func is Tensor.to and CPU in given[1:])
        args, kwargs = tree_map(lambda v: CPU if isinstance(v, torch.device) else v, (args, kwargs or {}))
        made = func(*args, **kwargs)
        if isinstance(made, Tensor) and (to_cpu or to_mps):
            made = made.clone()
        self.moved += to_cpu
        inputs = [value for value in given if isinstance(value, Tensor)]
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                if to_cpu or (not to_mps and all(id(value) in self.elsewhere for value in inputs)):
                    self.elsewhere[id(tensor)] = tensor
                elif tensor.dtype == torch.float64:
                    raise TypeError("MPS has no float64")
        return made


@pytest.mark.parametrize(("name", "tokens"), [*((name, False) for name in FAMILIES), *((n, True) for n in OF_TOKENS)])
def test_nothing_asks_mps_for_float64(name, tokens):
    family = OF_TOKENS[name].build(TOKENS, CONDITIONS) if tokens else build(name)
    batch = small_data("vae" if tokens else name).batch(np.arange(4))
    with PretendedMPS() as pretended:
        for player in family.players:
            family.train()(batch, player).value.backward()
        family.eval()
        condition = {key: value[:2] for key, value in batch.condition.items()} or None
        drawn = family.sample(2, condition, draws=Rows([0, 1])).x
        assert drawn.device == MPS
        assert pretended.moved or not tokens, "tokens are drawn in float64, on the CPU"
        try:
            family.bound(batch)
        except Unsupported:
            assert family.likelihood == "none"


def test_the_pretended_device_notices_float64():
    with PretendedMPS(), pytest.raises(TypeError, match="no float64"):
        torch.ones(3, device=MPS).double()


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [
    (True, True, "cuda"), (False, True, "mps"), (False, False, "cpu"),
])
def test_auto_takes_what_there_is(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto").type == chosen
    if not mps:
        with pytest.raises(FourfoldError, match="no MPS device"):
            resolve_device("mps")
