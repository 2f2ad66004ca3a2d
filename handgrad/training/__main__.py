"""``python -m handgrad.training digits``: trains, and prints accuracy and speed beside ``jax.grad``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jax

from handgrad.activations import ACTIVATIONS
from handgrad.training.checkpoint import Checkpoint, CheckpointError
from handgrad.training.digits import BATCH, LOSS, WIDTHS, Compared, Setting, compared

BAD_USAGE, INTERRUPTED = 4, 2


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(BAD_USAGE, f"{self.prog}: {message.removeprefix('argument ')}; see `{self.prog} --help`\n")


def parser() -> Parser:
    description = "Train a network on scikit-learn's digits with the hand-written gradient; print accuracy and speed "
    description += "beside jax.grad's."
    parser = Parser("python -m handgrad.training", description=description)
    parser.add_argument("data", choices=["digits"], help="what to train on")
    parser.add_argument("--steps", type=_positive, default=Setting.steps, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=Setting.seed, metavar="S", help="of data, start and batches")
    dtypes = ("float64", "float32", "bfloat16", "float16")
    described = "of the gradient; parameters are float32 at least (default: %(default)s)"
    parser.add_argument("--dtype", choices=dtypes, default=Setting.dtype, help=described)
    described = "of the hidden layers: a name in handgrad.activations (default: %(default)s)"
    parser.add_argument("--activation", choices=list(ACTIVATIONS), default="gelu", metavar="NAME", help=described)
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="keep the state there, every 100 steps")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a whole number, at least 1")
    return int(text)


def main() -> int:
    reader = parser()
    options = reader.parse_args()
    if options.resume and options.checkpoint is None:
        reader.error("--resume needs --checkpoint DIR")
    if options.seed < 0:
        reader.error(f"--seed: got {options.seed}, wanted a whole number, at least 0")
    setting = Setting(options.steps, options.seed, options.dtype, options.activation)
    checkpoint = None
    if options.checkpoint is not None:
        checkpoint = Checkpoint(options.checkpoint, {"data": "digits", **vars(setting)})
    jax.config.update("jax_enable_x64", setting.dtype == "float64")
    try:
        found = compared(setting, checkpoint, options.resume, progress=True)
    except ImportError as error:
        print(f"{reader.prog}: {error.name} is not installed: pip install 'handgrad[train]'", file=sys.stderr)
        return BAD_USAGE
    except CheckpointError as error:
        print(f"{reader.prog}: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print(f"{reader.prog}: interrupted; --checkpoint DIR --resume goes on", file=sys.stderr)
        return INTERRUPTED
    print("\n".join(_lines(setting, found)))
    return 0


def _lines(setting: Setting, found: Compared) -> list[str]:
    widths, hidden = "-".join(map(str, WIDTHS)), ", ".join(setting.activations)
    lines = [
        f"digits: widths {widths}, {hidden}, {LOSS}; {setting.steps} steps of {BATCH} columns, {setting.dtype}, "
        f"seed {setting.seed}"
    ]
    for name, accuracy, losses, speed in zip(
        ("by hand", "jax.grad"), found.accuracy, found.losses, found.speed, strict=True
    ):
        end = f"loss {losses[-1]:.6f}, {speed:,.0f} steps a second"
        lines.append(f"{name:9} test accuracy {accuracy:.1%}, {end}")
    return [*lines, f"by hand over jax.grad: {found.speed[0] / found.speed[1]:.2f} times the speed; "
            f"loss curves differ by {found.gap:.1e} at most"]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
