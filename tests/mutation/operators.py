"""Mutation operators: small mistakes of the kind that people make, as edits of a function's source.

An operator is a generator ``(node, scope) -> replacements``: it looks at one node of the syntax tree and yields
texts to put in its place. Nothing here knows how the mistakes will be looked for.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

OFF = 1e-6
"""The relative error of a single entry that a checker should still see."""
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult, ast.Pow)
PRODUCT = (ast.Mult, ast.Div, ast.MatMult)
ELEMENTWISE = {
    "derivative", "slope", "exp", "log", "log1p", "sqrt", "rsqrt", "tanh", "sigmoid", "softmax", "erfc", "abs",
    "sign", "clip", "inverse", "standardise", "_logistic", "_size", "_mean", "_normalised",
}  # fmt: skip
"""Functions whose argument people get wrong: the right formula at the wrong place."""
RENAMED = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "argmax": "argmin", "any": "all"}
NO_ARRAYS = {"zip", "range", "slice", "isinstance", "len", "reversed", "tuple", "partial", "Literal", "finfo"}


@dataclass(frozen=True)
class Edit:
    """``text`` in place of the bytes from ``start`` to ``end``, which begin in line ``line``."""

    operator: str
    line: int
    end_line: int
    start: int
    end: int
    text: str


@dataclass
class Scope:
    """What an operator may ask about the place of a node."""

    source: bytes
    offsets: list[int]
    parents: dict[ast.AST, ast.AST]
    names: list[str]
    """Arrays that the function knows: its parameters, and what it has assigned."""
    sizes: set[str]
    """Names of whole numbers: sizes, counts."""
    assigned: dict[str, int] = field(default_factory=dict)

    def text(self, node: ast.expr) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode()

    def span(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self.offsets[node.lineno - 1] + node.col_offset
        return start, self.offsets[node.end_lineno - 1] + node.end_col_offset

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self.parents.get(node)

    def within(self, node: ast.AST, *kinds: type[ast.AST]) -> bool:
        """Whether a node of these kinds stands between this one and its statement."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
            if isinstance(node, kinds):
                return True
        return False

    def in_test(self, node: ast.AST) -> bool:
        """Whether the node is part of a condition that Python decides, not an array's."""
        while not isinstance(node, ast.stmt):
            parent = self.parents[node]
            if isinstance(parent, ast.If | ast.IfExp | ast.While) and parent.test is node:
                return True
            node = parent
        return False

    def others(self, node: ast.expr) -> list[str]:
        """Other arrays that could stand here by mistake."""
        used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        return [n for n in self.names if n not in used and self.assigned.get(n, 0) < node.lineno]

    def is_size(self, node: ast.expr) -> bool:
        """Whether an expression is made of whole numbers only."""
        if any(isinstance(n, ast.Attribute) and n.attr in ("ndim", "shape", "bits", "size") for n in ast.walk(node)):
            return True
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        return all(n in self.sizes or n in NO_ARRAYS for n in names)


Operator = Callable[[ast.AST, Scope], Iterator[str]]


def _called(node: ast.AST) -> str:
    """The bare name of what a call calls."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _is_value(node: ast.AST, scope: Scope) -> bool:
    """Whether the node is what a statement returns or assigns, or an element of that."""
    parent = scope.parent(node)
    if isinstance(parent, ast.Tuple):
        parent = scope.parent(parent)
    return isinstance(parent, ast.Return | ast.Assign | ast.AugAssign)


def sign(node: ast.AST, scope: Scope) -> Iterator[str]:
    """A sign: of a term, of a whole, or one dropped."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        flipped = "-" if isinstance(node.op, ast.Add) else "+"
        yield f"{_in(node.left, scope)} {flipped} {_in(node.right, scope)}"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if not isinstance(node.operand, ast.Constant) or not scope.within(node, ast.Subscript, ast.keyword):
            yield scope.text(node.operand)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, PRODUCT):
        outer = scope.parent(node)
        if not (isinstance(outer, ast.BinOp) and isinstance(outer.op, PRODUCT)):
            yield f"-({scope.text(node)})"
    elif isinstance(node, ast.Call) and _is_value(node, scope) and _called(node) not in NO_ARRAYS:
        yield f"-{scope.text(node)}"


def constant(node: ast.AST, scope: Scope) -> Iterator[str]:
    """A number: one more, one less, twice; or not quite."""
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool) or not isinstance(node.value, int | float):
        return
    if scope.within(node, ast.Subscript, ast.keyword) or scope.in_test(node):
        return
    value = node.value
    yield repr(value + 1)
    yield repr(value - 1)
    if value:
        yield repr(2 * value)
        yield repr(value * (1 + OFF))


def swap(node: ast.AST, scope: Scope) -> Iterator[str]:
    """Two operands or two arguments, in the other order."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.MatMult | ast.Pow):
        symbol = {ast.Sub: "-", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**"}[type(node.op)]
        yield f"{_in(node.right, scope)} {symbol} {_in(node.left, scope)}"
    elif isinstance(node, ast.Call) and len(node.args) >= 2 and _called(node) not in NO_ARRAYS:
        at = len(node.args) - 2 if _called(node) == "where" else 0
        if not any(isinstance(a, ast.Starred) for a in node.args):
            first, second = node.args[at], node.args[at + 1]
            yield _replaced(node, scope, {first: scope.text(second), second: scope.text(first)})
    elif isinstance(node, ast.Tuple) and isinstance(scope.parent(node), ast.Return) and len(node.elts) > 1:
        texts = [scope.text(e) for e in node.elts]
        yield ", ".join([texts[1], texts[0], *texts[2:]])


def transpose(node: ast.AST, scope: Scope) -> Iterator[str]:
    """A transpose left out, or one too many."""
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield scope.text(node.value)
    parent = scope.parent(node)
    factor = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.MatMult)
    factor = factor or (_called(parent) in ("matmul", "solve", "outer") and node in parent.args)  # type: ignore
    if factor and isinstance(node, ast.expr) and not (isinstance(node, ast.Attribute) and node.attr == "T"):
        yield f"{_in(node, scope)}.T"


def drop(node: ast.AST, scope: Scope) -> Iterator[str]:
    """A term or a factor that was forgotten."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
        return
    yield scope.text(node.left)
    if isinstance(node.op, ast.Add | ast.Mult):
        yield scope.text(node.right)
    elif isinstance(node.op, ast.Sub):
        yield f"-{_in(node.right, scope)}"
    else:
        yield f"1 / {_in(node.right, scope)}"


def index(node: ast.AST, scope: Scope) -> Iterator[str]:
    """An index, a slice, an axis put in at the wrong place."""
    if not isinstance(node, ast.Subscript):
        return
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    texts = [scope.text(p) for p in parts]
    base = scope.text(node.value)
    if len(texts) > 1 and texts != texts[::-1]:
        yield f"{base}[{', '.join(texts[::-1])}]"
    for i, part in enumerate(parts):
        for other in _other_indices(part, scope):
            yield f"{base}[{', '.join([*texts[:i], other, *texts[i + 1 :]])}]"


def _other_indices(part: ast.expr, scope: Scope) -> Iterator[str]:
    if isinstance(part, ast.Slice):
        if part.step is not None and part.lower is None and part.upper is None:
            yield ":"
        elif part.upper is not None and part.lower is None:
            yield f"{scope.text(part.upper)}:"
            yield f"-{_in(part.upper, scope)}:"
        return
    try:
        number = ast.literal_eval(part)
    except ValueError:
        return
    if isinstance(number, int):
        yield from {-1: ("0", "-2"), 0: ("-1", "1"), 1: ("0",)}.get(number, (str(number - 1),))


def axis(node: ast.AST, scope: Scope) -> Iterator[str]:
    """A reduction along the wrong axis, along all of them, or with its axis kept or lost."""
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        start, end = scope.span(keyword.value)
        if keyword.arg == "axis" or keyword.arg == "keepdims":
            old = scope.text(keyword.value)
            for new in {"0": ("1", "None"), "1": ("0", "None"), "-1": ("0", "None")}.get(old, ("0",)):
                if keyword.arg == "keepdims":
                    new = "False" if old == "True" else "True"
                base, _ = scope.span(node)
                text = scope.source[base : scope.span(node)[1]]
                yield (text[: start - base] + new.encode() + text[end - base :]).decode()
                if keyword.arg == "keepdims":
                    break
    for argument in node.args[1:]:
        if isinstance(argument, ast.Name) and argument.id == "axis":
            for new in ("0", "axis - 1"):
                yield _replaced(node, scope, {argument: new})


def reduction(node: ast.AST, scope: Scope) -> Iterator[str]:
    """A sum that is a mean, a maximum that is a minimum."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in RENAMED:
        whole, name = scope.text(node), scope.text(node.func)
        yield name.removesuffix(node.func.attr) + RENAMED[node.func.attr] + whole[len(name) :]


def argument(node: ast.AST, scope: Scope) -> Iterator[str]:
    """The right function at the wrong argument: σ' at a instead of z."""
    if not isinstance(node, ast.Call) or _called(node) not in ELEMENTWISE or not node.args:
        return
    first = node.args[0]
    if isinstance(node.func, ast.Attribute) and node.func.attr == "derivative":
        object_ = scope.text(node.func.value)
        yield _replaced(node, scope, {first: f"{object_}.apply({scope.text(first)})"})
    for other in (*scope.others(first)[:3], f"2 * {_in(first, scope)}", f"-{_in(first, scope)}"):
        yield _replaced(node, scope, {first: other})


def variable(node: ast.AST, scope: Scope) -> Iterator[str]:
    """Another variable of the same function."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in scope.names:
        if _called(scope.parent(node)) in ELEMENTWISE:  # type: ignore[arg-type]
            return  # that is `argument`
        yield from scope.others(node)[:4]


def comparison(node: ast.AST, scope: Scope) -> Iterator[str]:
    """A boundary that belongs to the other side, or a condition turned round."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and not scope.in_test(node):
        swapped = {
            ast.Lt: ("<=", ">"), ast.LtE: ("<", ">="), ast.Gt: (">=", "<"), ast.GtE: (">", "<="),
            ast.Eq: ("!=",), ast.NotEq: ("==",),
        }  # fmt: skip
        for symbol in swapped.get(type(node.ops[0]), ()):
            yield f"{_in(node.left, scope)} {symbol} {_in(node.comparators[0], scope)}"
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        yield f"{_in(node.left, scope)} | {_in(node.right, scope)}"


def entry(node: ast.AST, scope: Scope) -> Iterator[str]:
    """One entry, the first or the last, off by a relative 1e-6."""
    if not isinstance(node, ast.expr) or not _is_value(node, scope) or scope.is_size(node) or scope.in_test(node):
        return
    array = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    array = array or (isinstance(node, ast.BinOp) and isinstance(node.op, ARITHMETIC))
    name = _called(node)
    if name and name not in NO_ARRAYS and name[0].islower() and not scope.text(node).startswith("jax.tree"):
        array = True
    if array:
        for at in ("0", "-1"):
            yield f"(lambda v: v.at[({at},) * v.ndim].multiply(1 + {OFF:g}))({scope.text(node)})"


OPERATORS: dict[str, Operator] = {
    f.__name__: f
    for f in (
        sign, constant, swap, transpose, drop, index, axis, reduction, argument, variable, comparison, entry,
    )
}  # fmt: skip


def _in(node: ast.expr, scope: Scope) -> str:
    """A node's text as an operand."""
    text = scope.text(node)
    simple = isinstance(node, ast.Name | ast.Constant | ast.Attribute | ast.Subscript | ast.Call)
    return text if simple else f"({text})"


def _replaced(node: ast.expr, scope: Scope, changes: dict[ast.expr, str]) -> str:
    """The text of a node with some of its parts changed."""
    base, end = scope.span(node)
    text, shift = scope.source[base:end], 0
    for part, new in sorted(changes.items(), key=lambda item: scope.span(item[0])):
        start, stop = (x - base + shift for x in scope.span(part))
        text = text[:start] + new.encode() + text[stop:]
        shift += len(new.encode()) - (stop - start)
    return text.decode()


# --- All edits of a module ----------------------------------------------------------------------------------


def edits(source: str) -> list[Edit]:
    """Every edit of every operator in the functions of a module, in order; each parses and differs."""
    data, tree = source.encode(), ast.parse(source)
    offsets = [0]
    for line in data.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found: dict[tuple[int, int, str], Edit] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and not _is_nested(function, parents):
            scope = _scope(function, data, offsets, parents)
            for node in _body(function):
                for name, operator in OPERATORS.items():
                    for text in operator(node, scope):
                        edit = _edit(name, node, text, scope)
                        if edit is not None:
                            found.setdefault((edit.start, edit.end, edit.text), edit)
    return [found[k] for k in sorted(found)]


def applied(source: str, edit: Edit) -> str:
    """The module with the mistake in it."""
    data = source.encode()
    return (data[: edit.start] + edit.text.encode() + data[edit.end :]).decode()


def _edit(operator: str, node: ast.AST, text: str, scope: Scope) -> Edit | None:
    assert isinstance(node, ast.expr)
    parent = scope.parent(node)
    bare = isinstance(parent, ast.Return | ast.Assign | ast.Call | ast.keyword) or text.isidentifier()
    new = text if (bare and not isinstance(node, ast.Tuple)) or operator == "constant" else f"({text})"
    start, end = scope.span(node)
    try:
        if ast.dump(ast.parse(new, mode="eval").body) == ast.dump(node):
            return None
    except SyntaxError:
        return None
    edit = Edit(operator, node.lineno, node.end_lineno or node.lineno, start, end, new)
    try:
        ast.parse(applied(scope.source.decode(), edit))
    except SyntaxError:
        return None
    return edit


def _is_nested(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    while node in parents:
        node = parents[node]
        if isinstance(node, ast.FunctionDef):
            return True
    return False


def _body(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """The expressions of a body: no annotations, defaults, decorators, text or error messages."""
    skipped = ast.Raise | ast.JoinedStr | ast.arguments

    def visit(node: ast.AST) -> Iterator[ast.expr]:
        if isinstance(node, skipped) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            return
        if isinstance(node, ast.AnnAssign):
            if node.value is not None:
                yield from visit(node.value)
            return
        if isinstance(node, ast.expr):
            yield node
        hidden = {*getattr(node, "decorator_list", ()), getattr(node, "returns", None)}
        for child in ast.iter_child_nodes(node):
            if child not in hidden:
                yield from visit(child)

    for statement in function.body:
        yield from visit(statement)


def _scope(function: ast.FunctionDef, data: bytes, offsets: list[int], parents: dict[ast.AST, ast.AST]) -> Scope:
    """The function's names: arrays by annotation or assignment, and whole numbers apart."""
    names, sizes, assigned = [], set(), {}
    for f in (n for n in ast.walk(function) if isinstance(n, ast.FunctionDef)):
        for parameter in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs):
            kind = ast.unparse(parameter.annotation) if parameter.annotation else ""
            if kind in ("int", "bool", "float", "Sequence[int]"):
                sizes.add(parameter.arg)
            elif parameter.arg != "axis" and (
                kind.startswith(("Float", "Array", "Int", "Annotated")) or kind in ("Z", "Rows", "Labels", "Features")
            ):
                names.append(parameter.arg)
                assigned[parameter.arg] = f.lineno
    statements = [n for n in ast.walk(function) if isinstance(n, ast.Assign)]
    for statement in sorted(statements, key=lambda s: s.lineno):
        targets = [t for target in statement.targets for t in ast.walk(target) if isinstance(t, ast.Name)]
        scope = Scope(data, offsets, parents, names, sizes, assigned)
        for target in targets:
            if target.id in assigned:
                continue
            if scope.is_size(statement.value):
                sizes.add(target.id)
            elif not isinstance(statement.value, ast.List | ast.ListComp) and target.id not in names:
                names.append(target.id)
                assigned[target.id] = statement.end_lineno or statement.lineno
    return Scope(data, offsets, parents, names, sizes, assigned)
