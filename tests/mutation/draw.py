"""Drawing mutants from a seed, spread over operators and files. It knows nothing of the judge."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.mutation.operators import OPERATORS, Edit, applied, edits


@dataclass(frozen=True)
class Mutant:
    """One mistake in one module."""

    number: int
    module: str
    edit: Edit

    def text(self, source: str) -> str:
        return applied(source, self.edit)

    def described(self, source: str) -> dict[str, Any]:
        """Where it is, and the lines before and after."""
        before, after = source.splitlines(), self.text(source).splitlines()
        first, last = self.edit.line, self.edit.end_line
        return {
            "number": self.number,
            "operator": self.edit.operator,
            "module": self.module,
            "line": first,
            "original": _joined(before[first - 1 : last]),
            "mutated": _joined(after[first - 1 : last + len(after) - len(before)]),
        }


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def draw(
    sources: Mapping[str, str], eligible: Callable[[str, int, int], bool], count: int, seed: int
) -> list[Mutant]:
    """``count`` different mutants of eligible lines ``(module, first, last)``; operators take turns, and within
    one the files do."""
    rng = random.Random(seed)
    waiting: dict[str, dict[str, list[Edit]]] = {name: defaultdict(list) for name in OPERATORS}
    for module in sorted(sources):
        for edit in edits(sources[module]):
            if eligible(module, edit.line, edit.end_line):
                waiting[edit.operator][module].append(edit)
    for by_module in waiting.values():
        for found in by_module.values():
            rng.shuffle(found)
    mutants: list[Mutant] = []
    turn = 0
    while len(mutants) < count and any(waiting.values()):
        for by_module in waiting.values():
            modules = sorted(by_module)
            if modules and len(mutants) < count:
                module = modules[(turn + rng.randrange(len(modules))) % len(modules)]
                mutants.append(Mutant(len(mutants), module, by_module[module].pop()))
                if not by_module[module]:
                    del by_module[module]
        turn += 1
    return mutants
