"""Arrays of an .npz file that a user gives; nothing in it is executed, and its sizes are bounded."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.errors import FourfoldError
from core.files import one_line

DENSEST, FREE = 64, 2**27
"""Bytes that a byte of a file may stand for, and bytes that any file may hold: more is made to fill the memory."""


def read_arrays(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of those names; None: all that there are.

    Raises:
        FourfoldError: the file is missing, damaged, holds far more than its size, or lacks one of them.
    """
    try:
        content = path.read_bytes()  # numpy would leave a path open
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > FREE + DENSEST * len(content):
            raise ValueError(f"its {len(content):,} bytes claim to hold {size:,}")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            held = [name.removesuffix(".npy") for name in file.zip.namelist() if name.endswith(".npy")]
            names = held if names is None else names
            missing = [name for name in names if name not in held]
            if missing:
                raise ValueError(f"it has no array {missing[0]!r}")
            found = {name: file[f"{name}.npy"] for name in names}
            unread = [name for name, array in found.items() if not isinstance(array, np.ndarray)]
            if unread:
                raise ValueError(f"{unread[0]!r} is no array")
            for name, array in found.items():
                codes = f"{array.dtype.byteorder}u4"
                if array.dtype.kind == "U" and (np.frombuffer(array.tobytes(), codes) > sys.maxunicode).any():
                    raise ValueError(f"{name!r} holds numbers that are no characters")
            return found
    except Exception as error:  # numpy passes on what zipfile, its decoders and Python's tokenizer stumble over
        reason = "no such file" if isinstance(error, FileNotFoundError) else one_line(error)
        raise FourfoldError(f"{path} is damaged, or no .npz file ({reason}): replace it") from error
