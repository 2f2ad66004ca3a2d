"""Judges hand-written derivatives: right or wrong, which side is wrong, and what is wrong with it.

    from verify import verify
    outcome = verify(ridge_gradient)
    assert outcome.ok, outcome
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verify.api import verify
    from verify.auditing import Audit as audit
    from verify.records.record import read_record

__all__ = ["audit", "read_record", "verify"]


def __getattr__(name: str) -> Any:
    """Imports on first use: the command line must start without JAX."""
    if name == "verify":
        from verify.api import verify

        return verify
    if name == "audit":
        from verify.auditing import Audit

        return Audit
    if name == "read_record":
        from verify.records.record import read_record

        return read_record
    raise AttributeError(f"module 'verify' has no attribute {name!r}")
