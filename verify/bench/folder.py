"""The folder of a benchmark: ``bench.json``, ``report.md`` and the curves. No JAX."""

from __future__ import annotations

import os
from pathlib import Path

from verify.bench.plot import claims_plot, has_curve, sizes_plot
from verify.bench.record import Bench
from verify.bench.report import report
from verify.records.runs import ReportsError
from verify.records.serial import dump, plain, write_atomically


def prepare(folder: Path) -> None:
    """Makes the folder before a long measurement. Raises ``ReportsError`` where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from None
    if not os.access(folder, os.W_OK):
        raise _unwritable(folder, "permission denied")


def write(bench: Bench, folder: Path) -> list[Path]:
    """Writes every file whole or not at all, and returns them."""
    contents = {"report.md": report(bench)}
    if has_curve(bench.sizes):
        contents["sizes.svg"] = sizes_plot(bench)
    if len(bench.claims) > 1:
        contents["claims.svg"] = claims_plot(bench)
    try:
        dump(plain(bench), folder / "bench.json")
        for name, text in contents.items():
            write_atomically(folder / name, text.encode())
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from None
    return [folder / name for name in ("bench.json", *contents)]


def _unwritable(folder: Path, why: str) -> ReportsError:
    return ReportsError(f"{folder}: cannot be written: {why}; choose another folder with -o DIR")
