"""Rules for equations that combine entries: reductions, products, windows, order, control flow, solvers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from verify.programs.arithmetic import Untranslatable
from verify.programs.elementwise import kind_of
from verify.programs.site import Site, foreign, rule


# -- reductions ------------------------------------------------------------------------------------
@rule("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "reduce_xor")
def _reduce(s: Site) -> Any:
    axes = tuple(map(int, s.params["axes"]))
    return s.call(s.name, s[0], axes if len(axes) != 1 else axes[0]) if axes else s.operands[0]


@rule("argmax", "argmin")
def _arg(s: Site) -> Any:
    (axis,) = s.params["axes"]
    return f"{s.typed('convert', 'int64', s.out_dtype)}({s.call(s.name, s[0], int(axis))})"


@rule("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
def _cumulative(s: Site) -> Any:
    return f"cumulative({s.op(s.name)}, {s[0]}, {s.params['axis']}, {s.params['reverse']})"


@rule("sort")
def _sort(s: Site) -> Any:
    return f"{s.typed('sort')}(({', '.join(s.all)},), {s.params['dimension']}, {s.params['num_keys']})"


@rule("top_k")
def _top_k(s: Site) -> Any:
    axis = s.params.get("axis", -1) % len(s.shapes[0])
    indices = s.typed("convert", "int64", "int32")
    return f"top_k({s.typed('sort')}, {indices}, {s[0]}, {s.src(s.params['k'])}, {axis})"


@rule("reduce")
def _generic_reduce(s: Site) -> Any:
    half = len(s.operands) // 2
    axes = tuple(map(int, s.params["dimensions"]))
    f = s.function(s.params["jaxpr"])
    return f"fold({f}, ({', '.join(s.all[:half])},), ({', '.join(s.all[half:])},), {axes})"


# -- contractions ----------------------------------------------------------------------------------
def _matmul(s: Site) -> str:
    precision = s.params["precision"]
    if isinstance(precision, tuple):
        precision = max(precision, key=lambda p: ("DEFAULT", "HIGH", "HIGHEST").index(p.name))
    if precision is None or getattr(precision, "name", "") == "DEFAULT":
        precision = "default"
    else:
        precision = getattr(precision, "name", "HIGHEST").lower()
    lhs, rhs, out = *s.dtypes[:2], s.out_dtype
    parts = ["matmul", lhs, *([rhs] if rhs != lhs else []), *(["to", out] if out != lhs else []),
             *([precision] if precision != "default" else [])]
    return s.t.operation("_".join(parts), ("matmul", lhs, rhs, out, precision))


@rule("dot_general")
def _dot_general(s: Site) -> Any:
    (lc, rc), (lb, rb) = ([tuple(map(int, axes)) for axes in pair] for pair in s.params["dimension_numbers"])
    a, b, (x, y) = s[0], s[1], s.shapes
    matmul = _matmul(s)
    if not lb and len(lc) == 1 and len(y) <= 2 and (len(x) <= 2 or lc[0] == len(x) - 1):
        a = f"{a}.T" if len(x) == 2 and lc[0] == 0 else a
        b = f"{b}.T" if len(y) == 2 and rc[0] == 1 else b
        return f"{matmul}({a}, {b})"
    l_free = tuple(i for i in range(len(x)) if i not in lc + lb)
    r_free = tuple(i for i in range(len(y)) if i not in rc + rb)

    def arranged(text: str, shape: tuple, batch: tuple, *groups: tuple) -> str:
        """The operand as a stack of matrices: batch axes, then each group of axes as one."""
        order = batch + groups[0] + groups[1]
        if order != tuple(range(len(shape))):
            text = f"{text}.transpose({s.src(order)})"
        if any(len(g) != 1 for g in groups):
            sizes = [s.src(shape[i]) for i in batch] + [_product(s, [shape[i] for i in g]) for g in groups]
            new = ", ".join(sizes)
            text = f"{text}.reshape({new})" if shape else f"reshape({text}, ({new}))"
        return s.t.assign(text)

    product = f"{matmul}({arranged(a, x, lb, l_free, lc)}, {arranged(b, y, rb, rc, r_free)})"
    if len(l_free) == len(r_free) == 1:
        return product
    return f"{product}.reshape({s.src(s.out_shape)})"


def _product(s: Site, sizes: Sequence[Any]) -> str:
    return "*".join(s.src(size) for size in sizes) or "1"


@rule("conv_general_dilated")
def _conv(s: Site) -> Any:
    p = s.params
    specs = tuple(tuple(map(int, spec)) for spec in p["dimension_numbers"])
    geometry = [p["window_strides"], p["padding"], p["lhs_dilation"], p["rhs_dilation"]]
    return (f"conv({_matmul(s)}, {s[0]}, {s[1]}, {', '.join(map(s.src, geometry))}, {s.t.static(specs)}, "
            f"{s.src(p['feature_group_count'])}, {s.src(p['batch_group_count'])})")


# -- windows ---------------------------------------------------------------------------------------
def _window(s: Site) -> str:
    p = s.params
    ones = (1,) * len(p["window_dimensions"])
    names = ("window_dimensions", "window_strides", "padding")
    dilations = (p.get("base_dilation", ones), p.get("window_dilation", ones))
    return s.src([*(p[n] for n in names), *dilations])


def _extreme(s: Site, low: bool, dtype: str) -> str:
    """The constant that no entry is below (above)."""
    kind = kind_of(dtype)
    if kind == "int":
        value = np.iinfo(dtype).min if low else np.iinfo(dtype).max
    else:
        value = not low if kind == "bool" else -np.inf if low else np.inf
    return s.t.constant(np.asarray(value, dtype), dtype, noisy=False)


@rule("reduce_window_sum", "reduce_window_max", "reduce_window_min")
def _reduce_window(s: Site) -> Any:
    how = s.name.removeprefix("reduce_window_")
    empty = (s.t.constant(np.zeros((), s.out_dtype), s.out_dtype, noisy=False) if how == "sum"
             else _extreme(s, how == "max", s.out_dtype))
    return f"reduce_window({s.op(f'reduce_{how}')}, {s[0]}, {empty}, {_window(s)})"


@rule("reduce_window")
def _generic_reduce_window(s: Site) -> Any:
    half = len(s.operands) // 2
    f = s.t.function(s.params["jaxpr"])
    return f"fold_window({f}, ({', '.join(s.all[:half])},), ({', '.join(s.all[half:])},), {_window(s)})"


@rule("select_and_scatter_add")
def _select_and_scatter_add(s: Site) -> Any:
    low = s.params["select_prim"].name in ("ge", "gt")
    arg = s.op("argmax" if low else "argmin")
    zero = s.t.constant(np.zeros((), s.out_dtype), s.out_dtype, noisy=False)
    worst = _extreme(s, low, s.dtypes[1])
    return f"select_and_scatter({arg}, {s.op('at')}('add'), {s[0]}, {s[1]}, {worst}, {zero}, {_window(s)})"


@rule("select_and_gather_add")
def _select_and_gather_add(s: Site) -> Any:
    low = s.params["select_prim"].name in ("ge", "gt")
    arg = s.op("argmax" if low else "argmin")
    return f"select_and_gather({arg}, {s[0]}, {s[1]}, {_extreme(s, low, s.dtypes[1])}, {_window(s)})"


# -- control flow ----------------------------------------------------------------------------------
def _tuple(items: Sequence[str]) -> str:
    return "(" + "".join(f"{item}, " for item in items).rstrip(" ") + ")" if items else "()"


def _scan_layout(params: dict[str, Any]) -> tuple[int, int]:
    """How many of a scan's operands are constants, and how many are carried."""
    if "num_consts" in params:  # JAX 0.10
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()
    return len(consts), len(carry)


@rule("scan")
def _scan(s: Site) -> Any:
    p = s.params
    c, carried = _scan_layout(p)
    x = c + carried
    f = s.function(p["jaxpr"])
    stacked = [v.aval.shape for v in s.eqn.outvars[carried:]]
    return (f"scan({f}, {_tuple(s.all[:c])}, {_tuple(s.all[c:x])}, {_tuple(s.all[x:])}, "
            f"{s.src(p['length'])}, {p['reverse']}, {s.src(stacked)})")


@rule("while")
def _while(s: Site) -> Any:
    p = s.params
    c, b = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    condition, body = s.function(p["cond_jaxpr"]), s.function(p["body_jaxpr"])
    return f"while_loop({condition}, {body}, {_tuple(s.all[:c])}, {_tuple(s.all[c:b])}, {_tuple(s.all[b:])})"


@rule("platform_index")
def _platform_index(s: Site) -> Any:
    platforms = s.params["platforms"]
    index = next(i for i, names in enumerate(platforms) if names is None or "cpu" in names)
    return s.t.decided(index)


@rule("cond")
def _cond(s: Site) -> Any:
    if s.operands[0].text.isdigit():  # decided by the platform
        branch = s.params["branches"][int(s.operands[0].text)]
        return s.t.inline(getattr(branch, "jaxpr", branch), getattr(branch, "consts", ()), s.operands[1:])
    branches = [s.function(branch) for branch in s.params["branches"]]
    return f"branch({s[0]}, {_tuple(branches)})({', '.join(s.all[1:])})"


@rule("custom_linear_solve")
def _custom_linear_solve(s: Site) -> Any:
    lengths, solve = s.params["const_lengths"], s.params["jaxprs"].solve
    first = lengths.matvec + lengths.vecmat
    rest = first + lengths.solve + lengths.transpose_solve
    operands = s.operands[first:first + lengths.solve] + s.operands[rest:]
    return s.t.inline(solve.jaxpr, solve.consts, operands)


@rule("pure_callback")
def _pure_callback(s: Site) -> Any:
    call = s.typed("callback", *(str(v.aval.dtype) for v in s.eqn.outvars))
    return f"{call}({s.t.static(s.params['callback'])}, {_tuple(s.all)})"


@rule("debug_callback", "debug_print")
def _no_result(s: Site) -> Any:
    return []


# -- linear algebra --------------------------------------------------------------------------------
@rule("cholesky", "lu", "householder_product")
def _factor(s: Site) -> Any:
    return s.call(s.name, *s.all)


@rule("lu_pivots_to_permutation")
def _pivots(s: Site) -> Any:
    return f"permutation({s[0]}, {s.src(s.params['permutation_size'])})"


@rule("triangular_solve")
def _triangular_solve(s: Site) -> Any:
    names = ("left_side", "lower", "transpose_a", "conjugate_a", "unit_diagonal")
    return s.call("triangular_solve", s[0], s[1], *(bool(s.params[n]) for n in names))


@rule("qr")
def _qr(s: Site) -> Any:
    if s.params.get("pivoting"):
        return foreign(s)
    return s.call("qr", s[0], s.params["full_matrices"])


@rule("geqrf")
def _geqrf(s: Site) -> Any:
    return foreign(s)


@rule("fft")
def _fft(s: Site) -> str:
    return f"{s.typed('fft', s.params['fft_type'].name)}({s[0]}, {s.src(s.params['fft_lengths'])})"


@rule("eigh")
def _eigh(s: Site) -> Any:
    if s.params.get("subset_by_index") is not None:
        raise Untranslatable("eigh")
    return s.call("eigh", s[0], s.params["lower"])


@rule("svd")
def _svd(s: Site) -> Any:
    if s.params.get("subset_by_index") is not None:
        raise Untranslatable("svd")
    return s.call("svd", s[0], s.params["full_matrices"], s.params["compute_uv"])


@rule("eig")
def _eig(s: Site) -> Any:
    left, right = s.params["compute_left_eigenvectors"], s.params["compute_right_eigenvectors"]
    return s.call("eig", s[0], left, right)


