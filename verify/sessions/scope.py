"""Which of the claims found are judged, and on which backends."""

from __future__ import annotations

from collections.abc import Sequence

from verify.sessions import kept
from verify.sessions.keyword import keyword
from verify.sessions.request import NothingToRun, Options
from verify.sessions.worker import Listed


def selected(claims: Sequence[Listed], options: Options) -> list[Listed]:
    """Those that ``-k`` and ``--lf`` leave."""
    if options.keyword:
        chosen = keyword(options.keyword)
        claims = [c for c in claims if chosen(c.target)]
    if options.last_failed:
        failed = kept.last_failed(options.output)
        claims = [c for c in claims if c.target in failed] if failed else claims
    return list(claims)


def nothing(options: Options) -> str:
    """Why no claim was selected."""
    if options.keyword:
        return f"-k {options.keyword!r} matches no claim"
    names = ", ".join(options.targets)
    return f"{names}: no claim found; a claim is a function under gradient_of(...), vjp_of(...), ..."


def backends_of(
    options: Options, here: tuple[str, ...], topologies: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The backends to judge on, and the TPUs to compile for where a TPU is asked for and absent."""
    asked = options.backends
    if asked is None:
        return here, ()
    compiled_for: tuple[str, ...] = ()
    absent = [b for b in asked if b not in here]
    if "tpu" in absent:
        if not topologies:
            raise NothingToRun(
                "--backend tpu: there is no TPU here, and no compiler for one: pip install 'handgrad[tpu]' "
                "compiles every claim for a TPU v5e on a machine without one"
            )
        compiled_for = topologies if options.full else topologies[:1]
        absent.remove("tpu")
    if absent:
        raise NothingToRun(
            f"--backend {','.join(absent)}: no such device here; JAX sees {', '.join(here[1:])} "
            f"(`verify devices` shows them; for a GPU install handgrad[cuda])"
        )
    return tuple(asked), compiled_for
