"""What is known of the machine, and asked of its memory."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from core import runtime


@pytest.mark.parametrize(("facts", "fast"), [
    ({"vendor_id": "GenuineIntel", "flags": "fpu avx512f avx512_bf16"}, False),  # half the speed of float32
    ({"vendor_id": "GenuineIntel", "flags": "fpu avx512f avx512_bf16 amx_tile amx_bf16"}, True),
    ({"vendor_id": "AuthenticAMD", "flags": "fpu avx512f avx512_bf16"}, True),
    ({"vendor_id": "AuthenticAMD", "flags": "fpu avx2"}, False),
    ({"Features": "fp asimd bf16"}, True),
    ({}, False),
])
def test_processors_that_multiply_faster_in_bfloat16(
    facts: dict[str, str], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_facts", lambda: facts)
    assert runtime.fast_in_bfloat16.__wrapped__(torch.device("cpu")) == fast
    assert runtime.fast_in_bfloat16.__wrapped__(torch.device("cuda"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc's")
def test_memory_that_is_kept_is_not_asked_for_again() -> None:
    code = """
import resource, torch
from core.runtime import keep_memory
{}
counts = []
for _ in range(20):
    torch.ones(2**24)
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(counts[-1] - counts[-6])
"""
    faults = [int(subprocess.run([sys.executable, "-c", code.format(line)], capture_output=True, text=True,
                                 check=True).stdout) for line in ("keep_memory()", "")]
    assert faults[0] < 0.1 * faults[1]
