"""What each argument of a claim is: annotations and ``given=`` read into a small tree of specifications.

``Float[Array, "m n"]`` becomes an :class:`ArraySpec`, a ``Literal`` or ``bool`` a :class:`StaticSpec`, a
NamedTuple, dataclass, tuple or TypedDict a :class:`TreeSpec`, a strategy a :class:`GivenSpec`. Nothing is drawn
here and JAX is not imported.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from handgrad.claims import Claim
from handgrad.domains import Domain, real
from verify.record import WORST_FIRST

FLOATS = ("float64", "float32", "bfloat16", "float16")
VALUES = ("equal_to", "at_most")
"""Relations that differentiate nothing."""


class SignatureError(Exception):
    """An argument that cannot be drawn; the message says which, and what to write."""


@dataclass(frozen=True)
class Axis:
    """One entry of a shape string: an expression in the dimension names, or a variadic group."""

    text: str
    variadic: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        if self.variadic:
            return ()
        return tuple(n.id for n in ast.walk(ast.parse(self.text, mode="eval")) if isinstance(n, ast.Name))


@dataclass(frozen=True)
class ArraySpec:
    """An array: ``kind`` is float, int, bool, complex or key; ``dtype`` is set where the annotation fixes one."""

    kind: str
    dtype: str | None
    axes: tuple[Axis, ...]
    domain: Domain = real

    def __str__(self) -> str:
        shape = " ".join(("*" if a.variadic else "") + a.text for a in self.axes)
        base = f'{(self.dtype or self.kind).capitalize()}[Array, "{shape}"]'
        return base if self.domain is real else f"{base} in {self.domain}"


@dataclass(frozen=True)
class StaticSpec:
    """A static option and the values it may take."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.values))


@dataclass(frozen=True)
class TreeSpec:
    """A container: ``labels`` name the children as in ``params.W`` or ``params[0]``."""

    build: Callable[[list[Any]], Any]
    labels: tuple[str, ...]
    children: tuple[Any, ...]

    def __str__(self) -> str:
        return "(" + ", ".join(f"{k}: {c}" for k, c in zip(self.labels, self.children, strict=True)) + ")"


@dataclass(frozen=True)
class GivenSpec:
    """Arguments drawn jointly from the user's own strategy, or from a function of the sizes to one."""

    names: tuple[str, ...]
    source: Any

    def __str__(self) -> str:
        return "given"


Spec = ArraySpec | StaticSpec | TreeSpec | GivenSpec


@dataclass(frozen=True)
class Signature:
    """The arguments of a claim in order, and its dimension names."""

    arguments: Mapping[str, Spec]
    dims: tuple[str, ...]
    variadics: tuple[str, ...]
    output: ArraySpec | TreeSpec | None
    promised: ArraySpec | TreeSpec | None = None
    """The hand function's own return annotation, checked when present."""


def signature_of(claim: Claim) -> Signature:
    """Reads the signature of a claim: ``given=``, then the hand function's annotation, then the reference's."""
    _check_options(claim)
    reference = parameters_of(claim.reference)
    hand = parameters_of(claim.hand)
    known = {n for key in claim.given for n in ((key,) if isinstance(key, str) else key)}
    for name in claim.wrt:
        if name not in reference:
            raise SignatureError(
                f"{claim.name}: wrt names {name!r}, but the reference "
                f"{_title(claim.reference)} has the arguments {', '.join(reference) or 'none'}: correct wrt="
            )
    for name in known - set(reference):
        raise SignatureError(
            f"{claim.name}: given= names {name!r}, which is no argument of {_title(claim.reference)}; "
            f"it has {', '.join(reference)}: correct given="
        )
    joint = {n: key for key in claim.given for n in ((key,) if isinstance(key, str) else tuple(key))}
    static = {list(reference)[i] for i in getattr(claim.hand, "nondiff_argnums", ()) if i < len(reference)}
    made: dict[Any, GivenSpec] = {}
    arguments: dict[str, Spec] = {}
    for name, (annotation, default) in reference.items():
        if name in joint:
            key = joint[name]
            described = _described(claim.given[key], f"{claim.name}: given={{{name!r}: ...}}")
            if described is not None:
                arguments[name] = described
                continue
            names = (key,) if isinstance(key, str) else tuple(key)
            arguments[name] = made.setdefault(key, GivenSpec(names, claim.given[key]))
            continue
        own = hand.get(name, (inspect.Parameter.empty, None))[0]
        chosen = own if own not in (inspect.Parameter.empty, Any) else annotation
        if chosen is own and hasattr(annotation, "dim_str") and not _readable(own):
            chosen = annotation  # `x: jax.Array` says less than the reference does
        if chosen is inspect.Parameter.empty:
            if default is not inspect.Parameter.empty:
                arguments[name] = StaticSpec((default,))
                continue
            raise SignatureError(
                f"{claim.name}: argument {name!r} has no annotation and no given=; wanted a shape: "
                f'write {name}: Float[Array, "m n"] in {_title(claim.hand)} or {_title(claim.reference)}, '
                f"or given={{{name!r}: strategy}}"
            )
        spec = read(chosen, f"{claim.name}: argument {name!r}")
        arguments[name] = _untraced(spec, default) if name in static else spec
    drawn = {n: key for n, key in joint.items() if isinstance(arguments[n], GivenSpec)}
    axes = [a for spec in arguments.values() for a in _axes(spec)] + _given_axes(drawn, hand, reference)
    dims = tuple(dict.fromkeys(n for a in axes for n in a.names))
    sizes = [d.domain.size for spec in arguments.values() for d in _arrays(spec)]
    dims += tuple(s for s in dict.fromkeys(sizes) if isinstance(s, str) and s not in dims)
    variadics = tuple(dict.fromkeys(a.text for a in axes if a.variadic))
    promised = _promise(claim.hand, claim) if claim.relation in ("gradient", "equal_to", "at_most") else None
    output = _promise(claim.reference, claim) if claim.relation != "second_order" else None
    return Signature(arguments, dims, variadics, output, promised)


def _described(value: Any, where: str) -> Spec | None:
    """What stands in place of a strategy: a specification, or an annotation to be read."""
    if isinstance(value, ArraySpec | StaticSpec | TreeSpec):
        return value
    if hasattr(value, "dim_str") or get_origin(value) in (Annotated, Literal):
        return read(value, where)
    return None


def _untraced(spec: Spec, default: Any) -> Spec:
    """A plain number among a rule's ``nondiff_argnums`` is an option: JAX will not trace it there."""
    if not isinstance(spec, ArraySpec) or spec.axes or spec.kind not in ("int", "float"):
        return spec
    if default is not inspect.Parameter.empty:
        return StaticSpec((default,))
    return StaticSpec((1, 2, 3) if spec.kind == "int" else (0.5, 1.0, 2.0))


def _check_options(claim: Claim) -> None:
    """What the claim's decorator was told, beside its functions."""
    if claim.expect is not None and claim.expect not in WORST_FIRST:
        known = ", ".join(WORST_FIRST)
        raise SignatureError(f"{claim.name}: expect={claim.expect!r} is no verdict; wanted one of {known}")
    unknown = [d for d in claim.dtypes or () if d not in FLOATS]
    if unknown or claim.dtypes == ():
        got = f"names {unknown[0]!r}" if unknown else "is empty"
        raise SignatureError(f"{claim.name}: dtypes= {got}; wanted some of {', '.join(FLOATS)}")
    if claim.wrt_is_tuple and len(set(claim.wrt)) != max(1, len(claim.wrt)) and claim.relation not in VALUES:
        raise SignatureError(f"{claim.name}: wrt={claim.wrt!r}; wanted each argument to differentiate, once")


def _readable(annotation: Any) -> bool:
    try:
        read(annotation, "")
    except SignatureError:
        return hasattr(annotation, "dim_str")  # a mistake in a shape is to be told, not passed over
    return True


def _given_axes(joint: Mapping[str, Any], hand: Mapping[str, Any], reference: Mapping[str, Any]) -> list[Axis]:
    """The dimensions that annotations of given arguments name: a function of the sizes is called with them."""
    found: list[Axis] = []
    for name in joint:
        for annotation, _ in (hand.get(name, (None, None)), reference[name]):
            if hasattr(annotation, "dim_str"):
                found += [a for a in _array(annotation, name, real).axes if not a.variadic]
    return found


def _promise(function: Callable[..., Any], claim: Claim) -> ArraySpec | TreeSpec | None:
    annotation = hints_of(function).get("return", inspect.Parameter.empty)
    if annotation in (inspect.Parameter.empty, None, Any):
        return None
    try:
        spec = read(annotation, f"{claim.name}: the return annotation")
    except SignatureError:
        return None
    return spec if isinstance(spec, ArraySpec | TreeSpec) else None


def read(annotation: Any, where: str, domain: Domain = real) -> Spec:
    """Reads one annotation. ``where`` begins the message if it cannot be read."""
    if get_origin(annotation) is Annotated:
        base, *extra = get_args(annotation)
        found = [d for d in extra if isinstance(d, Domain)]
        return read(base, where, found[0] if found else domain)
    if hasattr(annotation, "dim_str") and hasattr(annotation, "dtypes"):
        return _array(annotation, where, domain)
    if get_origin(annotation) is Literal:
        if not get_args(annotation):
            raise SignatureError(f"{where} is annotated Literal[()], which has no value; wanted those it may take")
        return StaticSpec(get_args(annotation))
    if annotation is bool:
        return StaticSpec((False, True))
    if annotation is int and domain.kind == "integers":
        assert domain.low is not None and domain.high is not None
        return StaticSpec(tuple(range(int(domain.low), int(domain.high) + 1)))
    if annotation is float or annotation is int:
        kind = "float" if annotation is float else "int"
        return ArraySpec(kind, None, (), domain)
    try:
        tree = _tree(annotation, where)
    except RecursionError:
        raise SignatureError(
            f"{where.partition('.')[0]} is annotated {_title(annotation)}, which contains itself: no end to its "
            f"arrays; give a strategy with given="
        ) from None
    if tree is not None:
        return tree
    raise SignatureError(
        f"{where} is annotated {_title(annotation)}, which has no shape; "
        f'wanted a jaxtyping array such as Float[Array, "m n"], a Literal, bool or Annotated[int, integers(1, 4)], '
        f"or a NamedTuple, dataclass, tuple or TypedDict of these: add one, or give a strategy with given="
    )


def _array(annotation: Any, where: str, domain: Domain) -> ArraySpec:
    dtypes = annotation.dtypes
    if not isinstance(dtypes, str | list | tuple | set | frozenset):  # Shaped: any dtype will do
        dtypes = ("float16", "float32")
    names = [str(d).lower() for d in dtypes] if not isinstance(dtypes, str) else [dtypes]
    axes = tuple(_axis(token, where) for token in annotation.dim_str.split())
    kind, dtype = _kind(annotation, names)
    return ArraySpec(kind, dtype, axes, domain)


def _kind(annotation: Any, names: list[str]) -> tuple[str, str | None]:
    if any("key" in n or "prng" in n for n in names) or annotation.__name__.startswith("Key"):
        return "key", None
    fixed = names[0] if len(names) == 1 else None
    floating = [n for n in names if n.startswith(("float", "bfloat"))]
    if floating:
        return "float", fixed
    if any(n.startswith("complex") for n in names):
        return "complex", fixed
    if any(n.startswith("bool") for n in names):
        return "bool", None
    return "int", fixed


def _axis(token: str, where: str) -> Axis:
    text = token.split("=")[-1] if "=" in token else token
    if text == "...":
        return Axis("...", variadic=True)
    variadic = text.startswith("*") or text.startswith("#*") or text.startswith("*#")
    text = text.lstrip("*#?")
    if text.startswith("_"):
        return Axis(text if text != "_" else "anonymous", variadic)
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        raise SignatureError(
            f"{where}: the axis {token!r} is no dimension name, number or expression; wanted e.g. 'n', '3', 'n+1'"
        ) from None
    return Axis(text, variadic)


def _tree(annotation: Any, where: str) -> TreeSpec | None:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (tuple, list) and args:
        if origin is list or (len(args) == 2 and args[1] is Ellipsis):
            args = (args[0],) * 2
        labels = tuple(f"[{i}]" for i in range(len(args)))
        children = tuple(read(a, f"{where}{k}") for a, k in zip(args, labels, strict=True))
        return TreeSpec(origin, labels, children)
    fields = _fields(annotation)
    if fields is None:
        return None
    children = tuple(read(a, f"{where}.{k}") for k, a in fields.items())
    if typing.is_typeddict(annotation):
        keys = tuple(fields)
        return TreeSpec(
            lambda xs: dict(zip(keys, xs, strict=True)), tuple(f"[{k!r}]" for k in keys), children
        )
    names = tuple(fields)
    return TreeSpec(
        lambda xs: annotation(**dict(zip(names, xs, strict=True))), tuple(f".{k}" for k in names), children
    )


def _fields(annotation: Any) -> dict[str, Any] | None:
    if isinstance(annotation, types.GenericAlias) or not isinstance(annotation, type):
        return None
    hints = hints_of(annotation)
    if typing.is_typeddict(annotation):
        return hints
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        return {k: hints.get(k, inspect.Parameter.empty) for k in annotation._fields}  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(annotation):
        return {f.name: hints[f.name] for f in dataclasses.fields(annotation) if f.init}
    return None


def hints_of(thing: Any) -> dict[str, Any]:
    target = inspect.unwrap(thing) if callable(thing) and not isinstance(thing, type) else thing
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:  # a name that only a type checker knows: the raw annotations must do
        return dict(getattr(target, "__annotations__", {}))


def parameters_of(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of every parameter, except the cotangent and tangents of a hand function."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise SignatureError(f"{_title(function)} has no readable signature; wrap it in a def") from None
    hints = hints_of(function)
    found = {}
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        found[p.name] = (hints.get(p.name, p.annotation), p.default)
    return found


def _title(thing: Any) -> str:
    return getattr(thing, "__name__", None) or str(thing)


def _arrays(spec: Spec) -> list[ArraySpec]:
    if isinstance(spec, ArraySpec):
        return [spec]
    return [a for c in spec.children for a in _arrays(c)] if isinstance(spec, TreeSpec) else []


def _axes(spec: Spec) -> list[Axis]:
    return [axis for array in _arrays(spec) for axis in array.axes]
