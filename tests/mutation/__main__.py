"""``python -m tests.mutation``: draws mutants, judges them, writes the report. What is written is not judged again."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.mutation.draw import Mutant, draw
from tests.mutation.judging import ROOT, Judge
from tests.mutation.overlay import path_of
from tests.mutation.reach import Reach, reach
from tests.mutation.report import missed, write_report


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.mutation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the draw, and of what judges (default: 0)")
    parser.add_argument("--count", type=int, default=500, help="how many mutants (default: 500)")
    parser.add_argument("--first", type=int, help="stop after so many of them, for now")
    parser.add_argument("--only", help="judge these numbers again, and print what comes of it")
    parser.add_argument("--again", action="store_true", help="judge those that were missed again, with today's judge")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("-o", dest="output", default="reports/mutation", help="folder (default: reports/mutation)")
    options = parser.parse_args()
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    found = reached()
    lines = set().union(*found.hand.values())
    sources = {m: path_of(m).read_text("utf-8") for m in sorted({m for m, _ in lines})}
    mutants = draw(sources, lambda m, a, b: bool(found.affected(m, a, b)[0]), options.count, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(options, output, Path(folder), found, sources)
        if options.only:
            chosen = [mutants[int(n)] for n in options.only.split(",")]
            run.judge(chosen, lambda outcome: print(json.dumps(outcome, ensure_ascii=False, indent=1), flush=True))
            return
        todo = mutants[: options.first]
        run.all([mutants[n] for n in missed(output)] if options.again else todo)
        if len(todo) == len(mutants):
            run.unchanged()
            write_report(output)


class Run:
    """Judging, with a log that grows by a line a mutant."""

    def __init__(self, options: Any, output: Path, folder: Path, found: Reach, sources: dict[str, str]):
        self.options, self.folder, self.found, self.sources = options, folder, found, sources
        self.about, self.baseline, self.log = (output / f for f in ("about.json", "baseline.json", "mutants.jsonl"))

    def all(self, mutants: list[Mutant]) -> None:
        """Those that the log does not have yet."""
        key = [self.options.seed, self.options.count, source_hash()]
        if self.about.exists() and json.loads(self.about.read_text("utf-8"))["key"] != key:
            sys.exit(f"{self.about}: of another draw, or of another catalogue; choose another folder with -o")
        if not self.about.exists():
            _write(self.about, {"key": key, **environment()})
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        done = set() if self.options.again else {json.loads(line)["number"] for line in lines}
        judge = judge_commit()

        def written(outcome: dict[str, Any]) -> None:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(json.dumps({**outcome, "judge": judge}, ensure_ascii=False) + "\n")
            done.add(outcome["number"])
            found = f"{outcome.get('verdict', '')} {outcome.get('diagnosis', '')} {outcome['seconds']} s"
            place = f"{outcome['operator']:10} {outcome['module']}:{outcome['line']}"
            _say(f"{len(done)}/{len(mutants)} {outcome['number']:4} {outcome['status']:10} {place} {found}")

        self.judge([m for m in mutants if m.number not in done], written)

    def unchanged(self) -> None:
        """Every claim without a mistake, once."""
        if not self.baseline.exists():
            _write(self.baseline, Judge(self.folder, self.found).baseline(self.options.seed, _say))

    def judge(self, mutants: list[Mutant], told: Callable[[dict[str, Any]], None]) -> None:
        """Judges some mutants, ``--jobs`` at a time."""
        waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
        for mutant in mutants:
            waiting.put(mutant)
        lock = threading.Lock()

        def serve() -> None:
            judge = Judge(self.folder, self.found)
            try:
                while True:
                    mutant = waiting.get_nowait()
                    seed = 1000 * self.options.seed + mutant.number
                    outcome = judge.mutant(mutant, self.sources[mutant.module], seed)
                    with lock:
                        told(outcome)
            except queue.Empty:
                pass
            finally:
                judge.stop()

        threads = [threading.Thread(target=serve) for _ in range(self.options.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def reached() -> Reach:
    """What every claim executes; kept between runs, as long as the catalogue is the same."""
    kept = Path(tempfile.gettempdir()) / f"handgrad-reach-{source_hash()}.json"
    if kept.exists():
        content = json.loads(kept.read_text())
        as_lines = lambda part: {k: {(m, n) for m, n in v} for k, v in part.items()}  # noqa: E731
        return Reach(as_lines(content["hand"]), as_lines(content["reference"]), content["relation"])
    found = reach(told=lambda name: _say(f"tracing {name}"))
    plain = {
        "hand": {k: sorted(v) for k, v in found.hand.items()},
        "reference": {k: sorted(v) for k, v in found.reference.items()},
        "relation": found.relation,
    }
    part = kept.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(plain))
    part.replace(kept)
    return found


def judge_commit() -> str:
    """The last commit to ``verify``."""
    command = ["git", "log", "-1", "--format=%h", "--", "verify"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def source_hash() -> str:
    """Of the catalogue's source."""
    import handgrad

    digest = hashlib.sha256()
    for path in sorted(Path(handgrad.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def environment() -> dict[str, Any]:
    """Versions, and which judge this was: the last commit to ``verify``."""
    import jax
    import numpy

    return {
        "started": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "judge": judge_commit(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": numpy.__version__,
        "cpus": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
