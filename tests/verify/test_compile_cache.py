"""The compilation cache: where it is, that it is used, that it stays small, and that it can be turned off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verify.judging import engine_of
from tests.verify.test_session import CLAIMS
from verify.api import claim_of
from verify.cells.compile_cache import folder, prune, settings
from verify.cells.compiled import CompiledCell

ROOT = Path(__file__).parents[2]


def test_where_it_is(tmp_path):
    path = folder({"XDG_CACHE_HOME": str(tmp_path)})
    assert path is not None and path.is_dir() and path.parent == tmp_path / "handgrad"
    assert folder({"VERIFY_CACHE": str(tmp_path / "own")}) == tmp_path / "own" / path.name
    assert settings({"VERIFY_CACHE": str(tmp_path)})["JAX_COMPILATION_CACHE_DIR"].startswith(str(tmp_path))


def test_when_there_is_none(tmp_path):
    assert settings({"VERIFY_CACHE": ""}) == {}
    assert settings({"JAX_COMPILATION_CACHE_DIR": "/mine"}) == {}  # the user's own stays
    (tmp_path / "file").write_text("")
    assert settings({"VERIFY_CACHE": str(tmp_path / "file")}) == {}


def test_the_oldest_go_first(tmp_path):
    chosen = {"VERIFY_CACHE": str(tmp_path)}
    path = folder(chosen)
    assert path is not None
    for i in range(6):
        (path / f"{i}").write_bytes(bytes(100))
        os.utime(path / f"{i}", (i, i))
    prune(chosen, largest=600)
    assert len(list(path.iterdir())) == 6
    prune(chosen, largest=599)
    assert sorted(f.name for f in path.iterdir()) == ["3", "4", "5"]


@pytest.mark.slow
def test_a_run_fills_it_and_the_next_finds_everything(tmp_path):
    (tmp_path / "claims.py").write_text(CLAIMS)
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "VERIFY_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)

    def programs(seed):
        command = ["-m", "verify", "run", "claims.py::right", "--cases", "40", "--seed", str(seed)]
        run = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True)
        assert run.returncode == 0, run.stderr
        return {f.name for f in (tmp_path / "cache").rglob("*-cache")}

    first = programs(0)
    assert first
    assert programs(0) == first


@pytest.mark.parametrize("seed", range(3))
def test_the_sizes_that_are_compiled_recur(seed):
    def squares(x):
        return (x**2).sum()

    from jaxtyping import Array, Float

    squares.__annotations__ = {"x": Float[Array, "m n"], "return": Float[Array, ""]}
    claim = claim_of(lambda x: 2 * x, squares, "x", "gradient")
    cells = [CompiledCell(engine_of(claim, s), "cpu", "float32", "vmap") for s in (seed, seed + 4, seed + 1)]
    one, two, other = (cell.trials() for cell in cells)
    assert one.first.dims == two.first.dims and one.count == two.count > 100
    assert one.values[0].tobytes() != two.values[0].tobytes()
    assert len({tuple(t.first.dims.values()) for t in (one, two, other)}) <= 2
