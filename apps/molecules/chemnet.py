"""ChemNet features, whose Fréchet distance is the FCD (Preuer et al. 2018, J. Chem. Inf. Model. 58, 1736).

The weights are those that the package `fcd_torch` carries; they are read with `weights_only=True` and the network is
built here, so no code of that package runs. The features agree with the package's to float precision (a test).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from core.data.sources import package_files
from core.errors import FourfoldError

WIDTH = 512  # numbers in a feature vector
LENGTH = 350  # symbols ChemNet reads
SYMBOLS = {symbol: index for index, symbol in enumerate([
    "C", "N", "O", "H", "F", "Cl", "P", "B", "Br", "S", "I", "Si", "#", "(", ")", "+", "-", "1", "2", "3", "4", "5",
    "6", "7", "8", "=", "[", "]", "@", "c", "n", "o", "s", "X", ".",
])}
UNKNOWN, END = SYMBOLS["X"], SYMBOLS["."]
SYMBOL = re.compile(r".[ril]|.")  # ChemNet's reading: a letter r, i or l belongs to the one before it


class ChemNet(nn.Module):
    """Two strided convolutions and two LSTMs over one-hot SMILES `[B, 35, 350]`; the last state is the feature."""

    def __init__(self) -> None:
        super().__init__()
        symbols = len(SYMBOLS)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, 32, kernel_size=4, stride=2, bias=False) for width in (symbols, 32)
        )
        self.backward_lstm = nn.LSTM(32, 128, batch_first=True)
        self.forward_lstm = nn.LSTM(128, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 35, 350]` -> `[B, 512]`."""
        for convolution in self.convolutions:
            # Padding as Keras' "same" was carried over: 1 on both sides for even lengths, 3 in all for odd ones.
            pad = (1, 1) if x.shape[2] % 2 == 0 else (1, 2)
            x = nn.functional.selu(convolution(nn.functional.pad(x, pad)))
        h: Tensor
        h, _ = self.backward_lstm(x.transpose(1, 2).flip(1))
        h, _ = self.forward_lstm(h.flip(1))
        return h[:, -1]


@cache
def chemnet() -> ChemNet:
    """The pretrained network.

    Raises:
        FourfoldError: the package's weights are missing or damaged.
    """
    path = package_files("fcd_torch", "1.0.7") / "ChemNet_v0.13_pretrained.pt"
    try:
        layers = torch.load(path, weights_only=True, map_location="cpu")
        network = ChemNet()
        owners = [*network.convolutions, network.backward_lstm, network.forward_lstm]
        for owner, (_, (state, _, _)) in zip(owners, layers, strict=True):
            owner.load_state_dict(state)
    except Exception as error:  # torch.load raises many kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FourfoldError(
            f"ChemNet's weights {path} cannot be read ({reason}): pip install --force-reinstall fcd_torch"
        ) from error
    return network.eval().requires_grad_(False)


def one_hot(smiles: Sequence[str]) -> Tensor:
    """`[B, 35, 350]`, scaled by 1/35 as ChemNet was trained; a string is read up to its first dot."""
    x = torch.zeros(len(smiles), LENGTH, len(SYMBOLS))
    for row, text in zip(x, smiles, strict=True):
        symbols = SYMBOL.findall(text.partition(".")[0])[: LENGTH - 1]
        ids = [SYMBOLS.get(symbol, UNKNOWN) for symbol in symbols] + [END]
        row[range(len(ids)), ids] = 1 / len(SYMBOLS)
    return x.transpose(1, 2)


@torch.inference_mode()
def features(smiles: Sequence[str], batch_size: int = 250) -> np.ndarray:
    """Float32 `[N, 512]` of canonical SMILES, about 500 molecules a second on one core."""
    network = chemnet()
    parts = [network(one_hot(smiles[i : i + batch_size])).numpy() for i in range(0, len(smiles), batch_size)]
    return np.concatenate(parts) if parts else np.zeros((0, WIDTH), np.float32)
