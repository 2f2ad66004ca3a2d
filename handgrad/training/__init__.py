"""Hand-written gradients at work.

    gradients.py     with_gradient: a reference whose jax.grad is the hand-written one
    step.py          train_step: many steps in one program, for any optimiser, dtype and mesh
    loop.py          train: callbacks every so many steps, a progress bar, checkpoints
    checkpoint.py    a state in a file, which a kill leaves whole
    digits.py        an example: ``python -m handgrad.training digits``

Optimisers are those of optax, or anything with its ``init`` and ``update``; nothing here imports it before an
example does.
"""

from __future__ import annotations

from handgrad.training.checkpoint import Checkpoint, CheckpointError
from handgrad.training.gradients import with_gradient
from handgrad.training.loop import Every, Moment, train
from handgrad.training.step import Step, TrainState, train_step

__all__ = [
    "Checkpoint", "CheckpointError", "Every", "Moment", "Step", "TrainState", "train", "train_step", "with_gradient",
]  # fmt: skip
