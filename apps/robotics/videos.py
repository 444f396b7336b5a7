"""Frames of video files and back, by the ffmpeg that the package imageio-ffmpeg brings."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import FourfoldError
from core.extras import needed

SECONDS = 600


def frames_of(path: Path, size: int) -> np.ndarray:
    """The frames of a video, uint8 `[F, size, size, 3]`.

    Raises:
        FourfoldError: the package is missing, or it is no video.
    """
    scale = f"scale={size}:{size}:flags=area"
    raw = _ffmpeg(f"{path} cannot be read", "-i", str(path), "-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(raw[: len(raw) // (size * size * 3) * size * size * 3], np.uint8).reshape(-1, size, size, 3)


def mp4(frames: np.ndarray, rate: int = 20) -> bytes:
    """Frames uint8 `[F, height, width, 3]` as an MP4 that browsers show.

    Raises:
        FourfoldError: the package is missing.
    """
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        _ffmpeg("a video cannot be written", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s",
                f"{even.shape[2]}x{even.shape[1]}", "-r", str(rate), "-i", "-", "-pix_fmt", "yuv420p", "-movflags",
                "+faststart", str(path), given=even.tobytes())
        return path.read_bytes()


def _ffmpeg(failure: str, *words: str, given: bytes = b"") -> bytes:
    package: Any = needed("imageio_ffmpeg", "robotics")
    try:
        done = subprocess.run([package.get_ffmpeg_exe(), "-v", "error", "-y", *words], input=given, capture_output=True,
                              timeout=SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["ffmpeg does not say why"]
        raise FourfoldError(f"{failure} ({said[-1]})") from error
    except subprocess.TimeoutExpired as error:
        raise FourfoldError(f"{failure} within {SECONDS} seconds") from error
    return done.stdout
