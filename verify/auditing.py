"""An audit of a training: the gradient in use, judged at the parameters that it has led to.

    watch = verify.audit(value_and_gradient, loss, file="audit.json")
    train(step, params, batches, 1000, callbacks=[Every(250, watch)])
    assert watch.ok, watch

Any loop will do: ``watch(moment)`` looks at ``moment.step``, ``moment.params`` and ``moment.batch``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from handgrad.claims import Relation
from verify.api import claim_of
from verify.cells.budget import Budget
from verify.drawing.fixed import FixedDraws
from verify.drawing.specification import SignatureError
from verify.records.record import ClaimRecord, Record, write_record
from verify.sessions.environment import environment
from verify.verdict.judge import judge
from verify.verdict.judged import Judged

__all__ = ["Audit"]


class Audit:
    """Judges ``hand`` against ``reference``, both functions of ``(params, *batch)``, whenever it is called.

    Every time it judges at the live parameters and ``columns`` columns of the batch, and at ``cases - 1`` other points
    around them, and keeps the outcome, in ``file``, too, as a record that ``verify show`` and ``verify diff`` read.
    ``hand`` returns what ``relation`` says: by default the value and the gradient in ``wrt``, the first argument.

    Raises ``TypeError`` where ``reference`` cannot be called with the parameters and a batch.
    """

    def __init__(
        self,
        hand: Callable[..., Any],
        reference: Callable[..., Any],
        *,
        wrt: str = "params",
        relation: Relation = "value_and_gradient",
        name: str | None = None,
        columns: int = 8,
        cases: int = 24,
        seed: int = 0,
        backends: tuple[str, ...] = ("numpy", "cpu"),
        file: str | Path | None = None,
    ) -> None:
        self.claim = claim_of(hand, reference, wrt, relation, name=name)
        self.columns, self.seed, self.file = columns, seed, file
        self.budget = Budget(seed=seed, cases=cases, backends=backends)
        self.judged: list[Judged] = []
        self.seconds = 0.0

    def __call__(self, moment: Any) -> ClaimRecord:
        start = monotonic()
        at = (_on_host(moment.params), *(self._some_columns(a, moment.step) for a in moment.batch))
        claim = replace(self.claim, name=f"{self.claim.name}, step {moment.step}")
        try:
            draws = FixedDraws(claim, self.seed, at)
        except SignatureError as error:
            raise TypeError(f"verify.audit: {error}") from None
        found = judge(claim, self.budget, draws)
        found = replace(found, record=replace(found.record, target=f"audit::{claim.name}", replay=None))
        self.judged.append(found)
        self.seconds += monotonic() - start
        if self.file is not None:
            write_record(self.record(), self.file)
        return found.record

    def _some_columns(self, array: Any, step: int) -> np.ndarray:
        array = np.asarray(array)
        return array[..., (self.seed + step + np.arange(min(self.columns, array.shape[-1]))) % array.shape[-1]]

    @property
    def outcomes(self) -> tuple[ClaimRecord, ...]:
        """In the order of the steps."""
        return tuple(one.record for one in self.judged)

    @property
    def ok(self) -> bool:
        """Whether every outcome passes, as in ``outcome.ok``; ``str(audit)`` says which does not and why."""
        return all(outcome.ok for outcome in self.outcomes)

    def __str__(self) -> str:
        failed = [str(outcome) for outcome in self.outcomes if not outcome.ok]
        return "\n".join([f"{len(self.judged)} audits of {self.claim.name}, {len(failed)} failed", *failed])

    def record(self) -> Record:
        """All outcomes as the record of a run."""
        return Record(
            claims=self.outcomes, exit_code=0 if self.ok else 1, argv=("verify.audit", self.claim.name), seed=self.seed,
            environment=environment(), seconds=self.seconds, started=datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip


def _on_host(tree: Any) -> Any:
    import jax

    return jax.tree.map(np.asarray, tree)
