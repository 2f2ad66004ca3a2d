"""Importing a package's modules, one by one, in a process of its own.

A module may raise, exit, print, hang or end the process: each costs that module alone. The child says what it begins;
the parent stops it where it is silent, and starts another for the rest.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from verify.scan.found import Package, Place, Unreachable
from verify.sessions.pool import Remote

SECONDS = float(os.environ.get("VERIFY_IMPORT_SECONDS", 60))
"""For one module, with what it imports."""
STARTING = 120.0
"""For the process itself, with JAX."""
LEFT_OUT = ("__main__",)


class NoSuchPackage(Exception):
    """There is nothing of this name to scan: one message, exit code 4."""


def look_into(name: str, told: Callable[[str], None] = lambda module: None) -> Package:
    """The rules of a package and of its submodules, and the modules that cannot be imported."""
    skip: list[str] = []
    failures: list[str] = []
    places: list[tuple[tuple[int, int], bool, Place]] = []
    children = 0
    unreachable: list[Unreachable] = []
    modules = 0
    while True:
        ended, current = None, name
        children += 1
        for message in _child(name, skip):
            kind, content = message["kind"], message["content"]
            if kind == "absent":
                raise NoSuchPackage(f"{name}: {content}; wanted the name of an installed package or module")
            if kind == "begin":
                current = content
                told(content)
            elif kind == "imported":
                modules += 1
                skip.append(content)
            elif kind == "failed":
                skip.append(current)
                failures.append(f"{current}: {content}")
            elif kind == "rules":
                places += [((children, key), home, Place(**p)) for key, home, p in content]
            elif kind == "unreachable":
                unreachable += [Unreachable(**u) for u in content]
            else:
                ended = content
        if ended is None:
            break
        if current in skip:  # it did not end while importing: again would be no better
            failures.append(f"{name}: looking for rules {ended}")
            break
        skip.append(current)
        failures.append(f"{current}: importing it {ended}")
    if not modules:
        raise NoSuchPackage(f"{name}: cannot be imported: {failures[0].partition(': ')[2]}")
    return Package(name, _each_once(places), tuple(unreachable), tuple(failures), modules)


def _each_once(places: list[tuple[tuple[int, int], bool, Place]]) -> tuple[Place, ...]:
    """Of the places that lead to one rule the best: where it was defined, by the shortest path."""
    best_first = sorted(places, key=lambda p: (not p[1], "[" in p[2].path, len(p[2].path), p[2].module))
    by_object: dict[tuple[int, int], Place] = {}
    for key, _, place in best_first:
        by_object.setdefault(key, place)
    by_source: dict[tuple[str, int, str], Place] = {}  # another process has other objects
    for place in by_object.values():
        by_source.setdefault((place.file, place.line, place.path.rpartition(".")[2]), place)
    return tuple(sorted(by_source.values(), key=lambda p: (p.module, p.line, p.path)))


def _child(name: str, skip: list[str]) -> Iterator[dict[str, Any]]:
    """What one process says; at last how it ended, if not by itself."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", "from verify.scan.probe import main; main()", name, str(writing)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(writing,),
        env=Remote.environment(), start_new_session=True,
    )  # fmt: skip
    os.close(writing)
    assert process.stdin is not None
    done, buffer, since, limit = False, b"", time.monotonic(), STARTING
    try:
        with suppress(OSError):
            process.stdin.write(json.dumps(skip).encode())
            process.stdin.close()
        while True:
            if select.select([reading], [], [], 0.25)[0]:
                part = os.read(reading, 1 << 16)
                if not part:
                    break
                *lines, buffer = (buffer + part).split(b"\n")
                since, limit = time.monotonic(), SECONDS
                for line in lines:
                    message = json.loads(line)
                    done = done or message["kind"] == "done"
                    if message["kind"] != "done":
                        yield message
            elif time.monotonic() - since > limit:
                yield {"kind": "ended", "content": f"took more than {limit:g} s and was stopped"}
                return
        if not done:
            code = process.wait(5)
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            yield {"kind": "ended", "content": f"ended the process {how}"}
    finally:
        os.close(reading)
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- in the child -----------------------------------------------------------------------------------------


def main() -> None:
    """Imports and reports, a JSON line a message; what modules print goes nowhere."""
    name, descriptor = sys.argv[1], int(sys.argv[2])
    skip = set(json.load(sys.stdin))
    sys.argv = [sys.argv[0]]
    out = os.fdopen(descriptor, "wb", buffering=0)
    os.set_inheritable(descriptor, False)

    def say(kind: str, content: Any = None) -> None:
        out.write(json.dumps({"kind": kind, "content": content}).encode() + b"\n")

    if "" not in sys.path:
        sys.path.insert(0, "")
    from verify.scan.find import places_in, unreachable_in

    for module in modules_of(name, lambda why: say("absent", why)):
        if module in skip:
            continue
        say("begin", module)
        try:
            loaded = importlib.import_module(module)
            found = list(places_in(loaded, name))
        except BaseException as error:
            say("failed", told(error))
            continue
        say("imported", module)
        say("rules", [(key, home, asdict(place)) for key, home, place in found])
        file = getattr(loaded, "__file__", None)
        if file and file.endswith(".py"):
            say("unreachable", [asdict(u) for u in unreachable_in(module, file)])
    say("done")
    os._exit(0)  # threads that a module started need not be waited for


def told(error: BaseException) -> str:
    """One line of what was raised."""
    text = str(error).strip().splitlines()
    kind = "exits" if isinstance(error, SystemExit) else type(error).__name__
    return f"{kind}: {text[0][:200]}" if text and text[0] else kind


def modules_of(name: str, absent: Callable[[str], None]) -> Iterator[str]:
    """A module and those below it, from the files alone."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError) as error:
        return absent(told(error))
    if spec is None:
        return absent("there is no module of this name")
    yield name
    if spec.submodule_search_locations is not None:
        yield from _below(list(spec.submodule_search_locations), f"{name}.")


def _below(paths: list[str], prefix: str) -> Iterator[str]:
    for path in paths:
        modules = {info.name.rpartition(".")[2]: info.ispkg for info in pkgutil.iter_modules([path], prefix)}
        with contextlib.suppress(OSError):
            folders = [p.name for p in sorted(Path(path).iterdir()) if p.is_dir() and p.name.isidentifier()]
            modules |= {f: True for f in folders if f not in modules and any((Path(path) / f).glob("*.py"))}
        for last, is_package in sorted(modules.items()):
            if last in LEFT_OUT or last.endswith("_test") or last == "conftest":
                continue
            name = f"{prefix}{last}"
            if (Path(path) / last / "__init__.py").exists() or not is_package:
                yield name
            if is_package:
                yield from _below([str(Path(path) / last)], f"{name}.")
