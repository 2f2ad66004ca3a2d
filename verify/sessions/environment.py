"""The environment of a run: versions, devices, precision, and the commit that was judged."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from typing import Any

from verify.cells.libtpu import settings, topologies
from verify.cells.matmul import EVERY

DTYPES_OF = {"numpy": ("float64", "float32", "bfloat16", "float16")}
PACKAGES = ("handgrad", "jax", "jaxlib", "numpy", "scipy", "ml_dtypes", "jaxtyping", "hypothesis", "python-flint")


def environment() -> dict[str, Any]:
    """What a reader needs to know to repeat a run."""
    import jax

    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "devices": [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()],
        "matmul precision": str(getattr(jax.config, "jax_default_matmul_precision", None) or "default"),
        "git": _commit(),
    }


def backends_here() -> tuple[str, ...]:
    """``numpy`` and every platform that JAX sees, the CPU always among them."""
    import jax

    found = ["numpy", "cpu"]
    for device in jax.devices():
        name = "gpu" if device.platform in ("cuda", "rocm", "gpu") else device.platform
        if name not in found:
            found.append(name)
    return tuple(found)


def devices() -> list[dict[str, Any]]:
    """One row for every backend: what it is and what it can hold."""
    for name, value in settings().items():
        os.environ.setdefault(name, value)
    import jax

    rows: list[dict[str, Any]] = [
        {
            "backend": "numpy",
            "device": f"{platform.machine()}, {os.cpu_count()} processors",
            "dtypes": DTYPES_OF["numpy"],
            "precisions": ("wide", "extended", "ball"),
            "status": "ready",
        }
    ]
    here = backends_here()
    for name in ("cpu", "gpu", "tpu"):
        if name not in here:
            rows.append({"backend": name, "device": None, "status": _absent(name)})
            continue
        for device in jax.devices(name):
            precisions = EVERY.get(name, ("highest",))
            row = {"backend": name, "device": f"{device.device_kind} {device.id}", "status": "ready"}
            rows.append({**row, "dtypes": DTYPES_OF["numpy"], "precisions": precisions})
    return rows


def _absent(name: str) -> str:
    if name == "gpu":
        return "absent (pip install 'handgrad[cuda]' on a machine with a GPU)"
    if targets := topologies():
        return f"absent (`verify run --backend tpu` compiles for {' and '.join(targets)})"
    return "absent (pip install 'handgrad[tpu]' to compile for one)"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str | None:
    """The processor's model: times are compared between runs on the same only."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or None


def _commit() -> str | None:
    """The commit of the current folder, ``+`` appended where files differ from it."""
    try:
        run = {"capture_output": True, "text": True, "timeout": 5}
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **run)
        if head.returncode:
            return None
        dirty = subprocess.run(["git", "status", "--porcelain", "-uno"], **run).stdout.strip()
        return head.stdout.strip() + ("+" if dirty else "")
    except (OSError, subprocess.SubprocessError):
        return None
