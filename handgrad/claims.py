"""Claims: what is the derivative of what.

A claim ties a hand-written function to the reference that it is derived from. A decorator registers the
claim and returns the function unchanged, so it costs nothing at run time and stays jit-, vmap- and
grad-compatible. Nothing is evaluated here; judging claims is the business of the ``verify`` package.

    @gradient_of(ridge_loss, wrt="W")
    def ridge_gradient(W, X, Y, lam):
        return 2 * ((W @ X - Y) @ X.T + lam * W)
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

__all__ = [
    "Claim",
    "Relation",
    "at_most",
    "equal_to",
    "gradient_of",
    "hvp_of",
    "jvp_of",
    "register",
    "registered_claims",
    "value_and_gradient_of",
    "vjp_of",
]

Relation = Literal[
    "gradient", "vjp", "jvp", "value_and_gradient", "hvp", "equal_to", "at_most", "custom_vjp", "custom_jvp",
    "second_order",
]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class Claim:
    """One statement: ``hand`` stands in ``relation`` to ``reference``, with respect to ``wrt``.

    ``module`` is where the claim was made, which need not be where ``hand`` was defined. ``note`` is told with the
    outcome; a claim on a step of a derivation names it with ``step_of``.
    ``wrt_is_tuple`` remembers whether the user wrote ``wrt="W"`` (a bare gradient is returned) or
    ``wrt=("W",)`` (a tuple of gradients is returned). ``equation`` and ``form`` place a claim of the
    post in its text.
    """

    name: str
    relation: Relation
    hand: Callable[..., Any]
    reference: Callable[..., Any]
    wrt: tuple[str, ...] = ()
    wrt_is_tuple: bool = False
    given: Mapping[str | tuple[str, ...], Any] = field(default_factory=dict)
    expect: str | None = None
    dtypes: tuple[str, ...] | None = None
    module: str = ""
    qualname: str = ""
    file: str = ""
    line: int = 0
    equation: str | None = None
    form: str | None = None
    note: str = ""
    step_of: Callable[..., Any] | None = None


# The one piece of global state: every claim, in the order of registration.
_REGISTRY: list[Claim] = []


def register(claim: Claim) -> None:
    """Adds a claim that no decorator makes."""
    _REGISTRY.append(claim)


def registered_claims(module: str | None = None) -> tuple[Claim, ...]:
    """The claims registered so far, in order; only those made in ``module``, or below it, if one is named.

    When a function carries several claims, each is named ``function.relation``.
    """
    claims = [c for c in _REGISTRY if module is None or f"{c.module}.".startswith(f"{module}.")]
    carried: dict[tuple[str, str], int] = {}
    for c in claims:
        carried[c.module, c.name] = carried.get((c.module, c.name), 0) + 1
    return tuple(_disambiguated(c) if carried[c.module, c.name] > 1 else c for c in claims)


def _disambiguated(claim: Claim) -> Claim:
    from dataclasses import replace

    return replace(claim, name=f"{claim.name}.{claim.relation}")


def source_of(function: Callable[..., Any]) -> tuple[str, int]:
    """File and first line of a function, looking through jit, partial and custom rules."""
    inner = unwrapped(function)
    code = getattr(inner, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else ("", 0)


def unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    function = inspect.unwrap(function)
    while hasattr(function, "func") and not hasattr(function, "__code__"):
        function = inspect.unwrap(function.func)  # type: ignore[attr-defined]
    return function


def _claim(
    relation: Relation,
    reference: Callable[..., Any],
    *,
    wrt: str | Iterable[str] = (),
    given: Mapping[str | tuple[str, ...], Any] | None,
    name: str | None,
    expect: str | None,
    dtypes: str | Iterable[str] | None,
    equation: str | None = None,
    form: str | None = None,
) -> Callable[[F], F]:
    names = _names(relation, wrt)
    limited = (dtypes,) if isinstance(dtypes, str) else dtypes
    if not isinstance(given, Mapping | None):
        raise TypeError(f"{_title(relation)}: given is {given!r}; wanted a dict {{argument: strategy}}")
    if not isinstance(name, str | None):
        raise TypeError(f"{_title(relation)}: name is {name!r}; wanted text")

    def register(hand: F) -> F:
        inner = unwrapped(hand)
        file, line = source_of(hand)
        _REGISTRY.append(
            Claim(
                name=name or getattr(inner, "__name__", type(hand).__name__),
                relation=relation,
                hand=hand,
                reference=reference,
                wrt=names,
                wrt_is_tuple=not isinstance(wrt, str),
                given=dict(given or {}),
                expect=expect,
                dtypes=None if limited is None else tuple(str(d) for d in limited),
                module=sys._getframe(1).f_globals.get("__name__", ""),
                qualname=getattr(inner, "__qualname__", ""),
                file=file,
                line=line,
                equation=equation,
                form=form,
            )
        )
        return hand

    return register


def _names(relation: Relation, wrt: Any) -> tuple[str, ...]:
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt) if isinstance(wrt, Iterable) else (wrt,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{_title(relation)}: wrt is {wrt!r}; wanted the name of an argument, or a tuple of names")
    return names


def _title(relation: Relation) -> str:
    return relation if relation in ("equal_to", "at_most") else f"{relation}_of"


def _decorator(relation: Relation, summary: str, differentiates: bool) -> Callable[..., Any]:
    if differentiates:

        def differentiating(
            reference: Callable[..., Any],
            *,
            wrt: str | Iterable[str],
            given: Mapping[str | tuple[str, ...], Any] | None = None,
            name: str | None = None,
            expect: str | None = None,
            dtypes: str | Iterable[str] | None = None,
            equation: str | None = None,
            form: str | None = None,
        ) -> Callable[[F], F]:
            return _claim(
                relation, reference, wrt=wrt, given=given, name=name, expect=expect, dtypes=dtypes,
                equation=equation, form=form,
            )  # fmt: skip

        differentiating.__doc__ = summary
        differentiating.__name__ = differentiating.__qualname__ = _title(relation)
        return differentiating

    def comparing(
        reference: Callable[..., Any],
        *,
        given: Mapping[str | tuple[str, ...], Any] | None = None,
        name: str | None = None,
        expect: str | None = None,
        dtypes: str | Iterable[str] | None = None,
        equation: str | None = None,
        form: str | None = None,
    ) -> Callable[[F], F]:
        return _claim(
            relation, reference, given=given, name=name, expect=expect, dtypes=dtypes, equation=equation, form=form
        )

    comparing.__doc__ = summary
    comparing.__name__ = comparing.__qualname__ = _title(relation)
    return comparing


gradient_of = _decorator(
    "gradient",
    """The hand function takes the arguments of the scalar-valued ``reference`` and returns its gradient
    with respect to ``wrt`` (a tuple of gradients if ``wrt`` is a tuple), as ``jax.grad`` does.""",
    True,
)
vjp_of = _decorator(
    "vjp",
    """The hand function takes the arguments of ``reference``, then keyword ``cotangent`` (the structure of
    the output), and returns the cotangent of ``wrt`` (a tuple if ``wrt`` is a tuple), as ``jax.vjp`` does.""",
    True,
)
jvp_of = _decorator(
    "jvp",
    """The hand function takes the arguments of ``reference``, then keyword ``d<arg>`` for every name in
    ``wrt``: the differential. It returns the tangent of the output, as ``jax.jvp`` does.""",
    True,
)
value_and_gradient_of = _decorator(
    "value_and_gradient",
    "As ``gradient_of``; the hand function returns ``(value, gradient)``, as ``jax.value_and_grad`` does.",
    True,
)
hvp_of = _decorator(
    "hvp",
    """As ``jvp_of`` for a scalar-valued ``reference``; the hand function returns the Hessian-vector product
    with respect to ``wrt``: ``jax.jvp`` of ``jax.grad``.""",
    True,
)
equal_to = _decorator(
    "equal_to",
    "The hand function returns the same value as ``reference``: a closed form, one line of a derivation.",
    False,
)
at_most = _decorator(
    "at_most",
    "The hand function is never larger than ``reference``, entry by entry: an inequality, a bound.",
    False,
)
