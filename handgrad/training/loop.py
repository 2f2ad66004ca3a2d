"""A training from its first step to its last: blocks of steps, and what happens between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.training.checkpoint import Checkpoint
from handgrad.training.step import Step, TrainState

__all__ = ["Every", "Moment", "train"]

LONGEST_BLOCK = 100
"""Steps in one program at most: the progress bar moves, and the batches of no more are held at once."""


@dataclass(frozen=True)
class Moment:
    """What a callback sees: the number of steps done, the parameters, the batch that comes next, and the losses.
    The next step takes the parameters' buffers: what is to be kept of them, copy."""

    step: int
    params: Any
    batch: Any
    losses: np.ndarray


@dataclass(frozen=True)
class Every:
    """``call(moment)`` before the first step, after every ``steps``, and after the last."""

    steps: int
    call: Callable[[Moment], object]


def train(
    step: Step,
    params: Any,
    batches: Callable[[int, int], Any],
    steps: int,
    *,
    callbacks: Sequence[Every] = (),
    checkpoint: Checkpoint | None = None,
    checkpoint_every: int = 100,
    resume: bool = False,
    progress: bool = False,
) -> tuple[TrainState, np.ndarray]:
    """Trains for ``steps`` steps; returns the last state and the loss before each step.

    ``batches(first, count)`` is the stack of batches of ``count`` steps from number ``first`` on. It must depend on
    these alone: a training that is killed and resumed then ends with the same parameters, bit for bit, as one that is
    not. With ``resume`` it goes on from the ``checkpoint``, if there is one; without, it starts anew.

    Raises ``CheckpointError`` if the checkpoint cannot be written, or is of another training.
    """
    state, losses = step.init(params), np.zeros(0)
    if checkpoint is not None and resume:
        state, losses = checkpoint.load(state) or (state, losses)
    done = start = len(losses)
    stops = [c.steps for c in callbacks] + ([checkpoint_every] if checkpoint is not None else [])
    with _bar(steps, done) if progress else nullcontext(lambda done, loss: None) as show:
        while True:
            for callback in callbacks:
                if (done % callback.steps == 0 or done == steps) and (done > start or not start):
                    batch = _first(batches(min(done, steps - 1), 1))
                    callback.call(Moment(done, state.params, batch, losses))
            if done >= steps:
                return state, losses
            until = min(steps, *((done // k + 1) * k for k in (*stops, LONGEST_BLOCK)))
            state, found = step.run(state, batches(done, until - done))
            losses = np.concatenate([losses, np.asarray(found, np.float64)])
            done = until
            if checkpoint is not None and (done % checkpoint_every == 0 or done == steps):
                checkpoint.save(state, losses)
            show(done, losses[-1])


def _first(batches: Any) -> Any:
    return tuple(array[0] for array in batches)


class _bar:
    """A progress bar on standard error, on a terminal only."""

    def __init__(self, steps: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task = self.progress.add_task("training", total=steps, completed=done)

    def __enter__(self) -> Callable[[int, float], None]:
        self.progress.start()
        return lambda done, loss: self.progress.update(self.task, completed=done, description=f"loss {loss:.4f}")

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
