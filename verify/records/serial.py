"""Dataclasses to strict JSON and back, checked field by field; files replaced whole or not at all."""

from __future__ import annotations

import json
import math
import os
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
LONGEST_TOKEN = 6
"""Characters of the longest piece of JSON that a cut can leave: an escape such as \\u03b4."""
MOST_ENTRIES = 10_000
"""Larger arrays are abbreviated in JSON (shape, dtype, first entries): their bits are in the case's file."""


class RecordError(ValueError):
    """A record that cannot be read: where, got, wanted, and the next step, in one message."""


def plain(value: Any) -> Any:
    """``value`` as what strict JSON can hold.

    Arrays become nested lists (above ``MOST_ENTRIES`` entries a summary), non-finite numbers the strings
    "nan", "inf" and "-inf", complex numbers ``{"re": ..., "im": ...}``, dataclasses and mappings objects.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, complex):
        return {"re": _number(value.real), "im": _number(value.imag)}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _plain_array(value)
    return str(value)


def _number(x: float) -> float | str:
    return x if math.isfinite(x) else "nan" if math.isnan(x) else "inf" if x > 0 else "-inf"


def _plain_array(array: Any) -> Any:
    import numpy as np

    try:
        array = np.asarray(array)
    except TypeError:  # a typed PRNG key
        return str(array)
    if array.dtype.names:  # float0, the cotangent of integers, has no values
        return {"shape": list(array.shape), "dtype": "float0", "first": []}
    if array.size > MOST_ENTRIES:
        first = plain(array.ravel()[:8])
        return {"shape": list(array.shape), "dtype": str(array.dtype), "first": first}
    if array.dtype.kind == "c":
        array = array.astype(np.complex128)
    elif array.dtype.kind in "fV":  # V: bfloat16, float8, int4, which float64 holds exactly
        array = array.astype(np.float64)
    return plain(array.tolist())


def decoded(value: Any) -> Any:
    """Array values as ``plain`` wrote them, with "nan", "inf" and "-inf" numbers again."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if isinstance(value, dict):
        return {key: decoded(item) for key, item in value.items()}
    return NON_FINITE.get(value, value) if isinstance(value, str) else value


def build(cls: type[T], value: Any, where: str = "the record") -> T:
    """An instance of the dataclass ``cls`` from its JSON, every field checked; unknown fields are ignored."""
    if not isinstance(value, dict):
        raise _mismatch(where, value, "an object")
    hints = _hints(cls)
    arguments = {}
    for f in fields(cast(Any, cls)):
        if f.name in value:
            arguments[f.name] = _checked(hints[f.name], value[f.name], f"{where}.{f.name}".removeprefix("."))
        elif f.default is MISSING and f.default_factory is MISSING:
            raise RecordError(f"{where or 'the record'}: the field {f.name!r} is missing")
    return cls(**arguments)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _checked(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the annotation ``hint`` wants it, or a RecordError that names the place."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return decoded(value)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _checked(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        if value not in arguments:
            raise _mismatch(where, value, "one of " + ", ".join(map(str, arguments)))
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _mismatch(where, value, "a list")
        return tuple(_checked(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _mismatch(where, value, "an object")
        return {key: _checked(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(hint):
        return build(cast(type, hint), value, where)
    return _checked_scalar(hint, value, where)


def _checked_scalar(hint: type, value: Any, where: str) -> Any:
    if hint is float:
        if isinstance(value, str) and value in NON_FINITE:
            return NON_FINITE[value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise _mismatch(where, value, "a number")
    wanted = {int: "an integer", str: "a string", bool: "true or false"}[hint]
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _mismatch(where, value, wanted)
    return value


def _mismatch(where: str, value: Any, wanted: str) -> RecordError:
    shown = json.dumps(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return RecordError(f"{where or 'the record'}: got {shown}, wanted {wanted}")


def load(path: Path) -> Any:
    """The JSON in a file; strict, and every failure one RecordError."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise RecordError(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise RecordError(f"{path}: not a record (not UTF-8 text)") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror or error}") from None
    return parse(text, str(path))


def parse(text: str, where: str) -> Any:
    """Strict JSON: NaN and Infinity are refused."""
    if not text.strip():
        raise RecordError(f"{where}: is empty; run `verify run` again to write a new record")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise RecordError(f"{where}: not a record (nested too deeply)") from None
    except json.JSONDecodeError as error:
        at_end = 0 < error.pos >= len(text.rstrip()) - LONGEST_TOKEN and not error.msg.startswith("Extra data")
        cut = at_end or error.msg.startswith("Unterminated")
        what = "is cut off" if cut else "not JSON"
        message = f"{where}: {what} at line {error.lineno}, column {error.colno}: {error.msg}"
        raise RecordError(f"{message}; run `verify run` again to write a new record") from None
    except ValueError as error:
        raise RecordError(f"{where}: not strict JSON: {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} stands where a string should")


def dump(value: Mapping[str, Any], path: Path) -> None:
    """Writes ``value`` as strict JSON, atomically: a field a line, and an item a line in its lists."""
    lines = [f"{json.dumps(key)}: {_lines(item)}" for key, item in plain(value).items()]
    write_atomically(path, ("{" + ",\n ".join(lines) + "}\n").encode())


def dumps(value: Any) -> str:
    """``value`` as strict JSON on one line."""
    return json.dumps(plain(value), allow_nan=False)


def _lines(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n  " + ",\n  ".join(map(dumps, value)) + "]"
    return dumps(value)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside ``path`` and renames: a reader sees the old file or the new one, never half of it."""
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        path.write_bytes(content)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
