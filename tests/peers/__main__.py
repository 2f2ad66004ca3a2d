"""``python -m tests.peers -o DIR``: judges the corpus with every tool; writes ``report.md`` and ``peers.json``.

Half an hour. ``-k TEXT`` takes the claims whose name contains it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import jax

from tests.peers.functions import SIZES, names
from tests.peers.report import report
from tests.peers.tools import Result, by_check_grads, by_gradcheck, by_verify
from verify.bench.peers import version_of


def tools() -> dict[str, Callable[[str], Result]]:
    found: dict[str, Callable[[str], Result]] = {
        "verify": by_verify,
        "check_grads float32": partial(by_check_grads, x64=False),
        "check_grads float64": partial(by_check_grads, x64=True),
    }
    if version_of("torch"):
        found["gradcheck fast"] = partial(by_gradcheck, fast=True)
        found["gradcheck slow"] = partial(by_gradcheck, fast=False)
        found["gradcheck slow, 10 inputs"] = partial(by_gradcheck, fast=False, inputs=10)
    return found


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.peers", description=__doc__)
    parser.add_argument("-o", dest="output", type=Path, required=True, metavar="DIR")
    parser.add_argument("-k", dest="only", default="", metavar="TEXT")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_platforms", "cpu")
    rows = []
    for name, group in names().items():
        if options.only not in name:
            continue
        results = {tool: run(name) for tool, run in tools().items()}
        rows.append({"name": name, "set": group, "results": {t: compact(r) for t, r in results.items()}})
        print(name, *(r.outcome for r in results.values()), flush=True)
    record = {"schema": 1, "environment": environment(), "sizes": SIZES, "claims": rows}
    (options.output / "peers.json").write_text(json.dumps(record, indent=None, separators=(",", ":")) + "\n")
    (options.output / "report.md").write_text(report(record))


def compact(result: Result) -> dict[str, object]:
    kept = {k: v for k, v in asdict(result).items() if v}
    return kept | {"seconds": round(result.seconds, 2)}


def environment() -> dict[str, object]:
    from verify.sessions.environment import environment as here

    kept = ("python", "jax", "numpy", "platform", "cpus", "git")
    return {k: v for k, v in here().items() if k in kept} | {"torch": version_of("torch")}


if __name__ == "__main__":
    main()
