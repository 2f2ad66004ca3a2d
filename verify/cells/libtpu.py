"""The TPU compiler on a machine without a TPU: whether it is here, and what it must be told. No JAX.

libtpu asks the metadata server of a TPU machine what it runs on. Where there is no TPU, that takes time, fails and
fills the terminal, unless the environment says it first.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

TOPOLOGIES = {"v5e": "v5e:2x2", "v6e": "v6e:2x2"}
"""What can be compiled for, the first by default."""
SETTINGS = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # several workers compile at once, and none holds a device
}
_DEVICES = ("dev/accel[0-9]*", "dev/vfio/[0-9]*")
"""A TPU shows itself so."""


def topologies() -> tuple[str, ...]:
    """The TPUs that can be compiled for: needs the extra ``tpu``."""
    return tuple(TOPOLOGIES) if find_spec("libtpu") is not None else ()


def settings(root: str = "/") -> dict[str, str]:
    """What the environment should say before JAX is imported; nothing where there may be a TPU."""
    attached = any(next(Path(root).glob(pattern), None) for pattern in _DEVICES)
    return {} if attached or not topologies() else dict(SETTINGS)
