"""The compilation cache of the workers: JAX's own, in the user's cache folder, kept small.

Compiling is most of what a compiled cell costs, and the same function in the same shapes compiles to the same program.
``VERIFY_CACHE`` names another folder; empty, it turns the cache off. Whoever has set up JAX's cache keeps that.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

LARGEST = 256 * 2**20
"""Bytes beyond which the oldest half is deleted."""


def folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where compiled programs are kept, one folder a kind of processor; None if nowhere."""
    chosen = environment.get("VERIFY_CACHE")
    if chosen == "" or environment.get("JAX_COMPILATION_CACHE_DIR"):
        return None
    root = Path(chosen or Path(environment.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "handgrad")
    path = root / f"compiled-{_processor()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return path if os.access(path, os.W_OK) else None


def settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a worker's environment says to JAX about it."""
    path = folder(environment)
    if path is None:
        return {}
    return {
        "JAX_COMPILATION_CACHE_DIR": str(path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def prune(environment: Mapping[str, str] = os.environ, largest: int = LARGEST) -> None:
    """Deletes what was written first, once there is too much."""
    path = folder(environment)
    if path is None:
        return
    found = []
    for file in path.iterdir():
        with suppress(OSError):  # another run prunes, too
            found.append((file.stat().st_mtime, file.stat().st_size, file))
    if sum(size for _, size, _ in found) > largest:
        for _, _, file in sorted(found)[: len(found) // 2]:
            with suppress(OSError):
                file.unlink()


def _processor() -> str:
    """Compiled code is for one kind of processor: its architecture, and what it can do where Linux tells."""
    features = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"
