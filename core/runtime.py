"""The machine a run lives on: which device computes, and what to say about it beside a measured number."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FourfoldError, did_you_mean

if TYPE_CHECKING:
    import torch


def version() -> str:
    """The installed version of Fourfold; "source" when it runs from a checkout that was never installed."""
    try:
        return metadata.version("fourfold")
    except metadata.PackageNotFoundError:
        return "source"


def memory() -> int:
    """Bytes of this machine's memory; 64 GiB where the system does not say."""
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 2**36


def resolve_device(name: str = "auto") -> torch.device:
    """The device called `name`: "auto" (CUDA, else Apple's MPS, else the CPU), "cpu", "cuda", "cuda:0", "mps".

    Raises:
        FourfoldError: the name is unknown, or this machine has no such device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (index.isascii() and index.isdigit() and len(index) < 4)):
        known = ("auto", "cpu", "cuda", "cuda:0", "mps")
        raise FourfoldError(f"--device is {name!r}: {did_you_mean(name, known)}")
    if kind == "cuda" and int(index or 0) >= (count := torch.cuda.device_count()):
        raise FourfoldError(f"--device is {name!r}: this machine has {count} CUDA devices; use --device cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise FourfoldError(f"--device is {name!r}: this machine has no MPS device; use --device cpu")
    return torch.device(name)


@cache
def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies matrices faster in bfloat16 than in float32.

    Many processors convert instead of multiplying, and are slower than in float32, Intel's with AVX-512 but without AMX
    among them. It is read from the processor's list of abilities, not measured: an interrupted run must go on alike.
    """
    if device.type != "cpu":
        return True
    about = cpu_facts()
    flags = set(about.get("flags", about.get("Features", "")).split())
    amd = about.get("vendor_id") == "AuthenticAMD" and "avx512_bf16" in flags
    return amd or "amx_bf16" in flags or "bf16" in flags  # the last is ARM's


@cache
def keep_memory() -> None:
    """Let glibc keep the memory that tensors give back, where the program runs on it.

    Otherwise each large tensor's memory is asked of the system anew, which clears it page by page.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    set_option = ctypes.CDLL(None).mallopt
    trim, top_pad, mmap = -1, -2, -3  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD of malloc.h
    if not set_option(mmap, 2**30):
        set_option(mmap, 2**25)  # the most that glibc before 2.35 takes
    set_option(trim, -1)
    set_option(top_pad, 2**26)


def first_process() -> bool:
    """Whether this is the process that speaks and writes, among those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def cpu_facts() -> dict[str, str]:
    """What Linux tells of the first processor, by its names; nothing on other systems."""
    path = Path("/proc/cpuinfo")
    first = path.read_text(errors="replace").partition("\n\n")[0] if path.exists() else ""
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


def cpu_name() -> str:
    """The processor's model name, as the system tells it."""
    return cpu_facts().get("model name") or platform.processor() or platform.machine()


def cpu_count() -> int:
    """Cores this process may use: its affinity mask, where the system has one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment() -> dict[str, str | int]:
    """What a reader needs beside a measured number; no host names, users or paths."""
    import torch

    return {
        "fourfold": version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
