"""A state of training in a file that is whole at every moment.

Written beside the old one, flushed to the disk, and renamed: after a kill, or a power cut, the file is the old state or
the new one. It is NumPy's ``.npz``: a plain array for each leaf, and nothing that runs when it is loaded. orbax would
add asynchronous writing and arrays that lie on several hosts, for many dependencies; what is trained here is replicated
and fits one file.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from handgrad.training.step import TrainState

__all__ = ["Checkpoint", "CheckpointError"]

FILE, ABOUT = "checkpoint.npz", "about"


class CheckpointError(Exception):
    """A checkpoint that cannot be read, or is of another training: one message."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state. ``settings`` tell trainings apart: with others it does not go on."""

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return Path(self.folder) / FILE

    def save(self, state: TrainState, losses: np.ndarray) -> None:
        """Replaces the checkpoint, whole or not at all. Raises ``CheckpointError`` where it cannot be written."""
        leaves = [(jax.tree_util.keystr(path), np.asarray(leaf)) for path, leaf in _leaves(state)]
        about = {"settings": dict(self.settings), "leaves": {name: str(a.dtype) for name, a in leaves}}
        arrays: dict[str, Any] = {f"{i}": _bits(a) for i, (_, a) in enumerate(leaves)}
        beside = self.file.with_name(f"{FILE}.tmp")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as stream:
                np.savez(stream, **{ABOUT: np.asarray(json.dumps(about))}, losses=losses, **arrays)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, self.file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise CheckpointError(f"{self.file}: cannot be written: {error.strerror or error}") from None

    def load(self, like: TrainState) -> tuple[TrainState, np.ndarray] | None:
        """The state kept here, in the structure of ``like``, and the losses so far; None if there is none.

        Raises ``CheckpointError`` if the file is damaged, or of a training with other settings or parameters.
        """
        remedy = "remove it, or choose another folder"
        try:
            with self.file.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
                about = json.loads(str(found[ABOUT]))
                names, kept, losses = about["leaves"], about["settings"], found["losses"]
                arrays = [found[f"{i}"].view(_dtype(d)) for i, d in enumerate(names.values())]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{self.file}: is no checkpoint of a training ({error}); {remedy}") from None
        ours = dict(self.settings)
        for key in [*ours, *kept]:
            if kept.get(key) != ours.get(key):
                text = f"is of a training with {key} {kept.get(key)}, and this one has {ours.get(key)}"
                raise CheckpointError(f"{self.file}: {text}; {remedy}")
        wanted = [(jax.tree_util.keystr(path), leaf) for path, leaf in _leaves(like)]
        got = [(n, a.shape, str(a.dtype)) for n, a in zip(names, arrays, strict=True)]
        if got != [(n, leaf.shape, str(leaf.dtype)) for n, leaf in wanted]:
            raise CheckpointError(f"{self.file}: holds arrays of another network or optimiser; {remedy}")
        return jax.tree.unflatten(jax.tree.structure(like), [jax.numpy.asarray(a) for a in arrays]), losses


def _leaves(state: TrainState) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(state)[0]


def _dtype(name: str) -> np.dtype:
    return np.dtype(jax.numpy.dtype(name))


def _bits(array: np.ndarray) -> np.ndarray:
    """NumPy's format does not know bfloat16: its bits, as whole numbers."""
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" or array.dtype.isbuiltin != 1 else array
