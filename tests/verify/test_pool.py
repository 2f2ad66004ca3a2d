"""The pool, with workers that have loaded nothing: every task asked of them fails, and none may be lost."""

import pytest

from verify.sessions.pool import Pool, WorkerLost

FAILED = "raised IndexError: list index out of range"


def outcomes(pool, count):
    """What is said of every task, by its key; each is answered once."""
    tasks = [(key, lambda: ((0, 0), "m.py::f", None)) for key in range(count)]
    try:
        said = list(pool.judge(tasks, lambda *_: None, lambda: False))
    finally:
        pool.stop()
    assert sorted(key for key, _, _ in said) == list(range(count)) and all(answer is None for _, answer, _ in said)
    return {key: why for key, _, why in said}


@pytest.fixture
def pool():
    pool = Pool([])
    pool.grow(1)
    yield pool
    pool.stop()


def test_a_task_that_fails(pool):
    assert outcomes(pool, 3) == dict.fromkeys(range(3), FAILED)


def test_a_worker_found_dead_is_replaced(pool):
    pool.workers[0].process.kill()
    pool.workers[0].process.wait()
    assert outcomes(pool, 3) == {0: "ended its process by SIGKILL", 1: FAILED, 2: FAILED}


def test_a_target_that_does_not_load_again(pool, monkeypatch):
    """The worker cannot be replaced: the tasks that are left are named, and the run goes on."""

    def reload(worker):
        raise WorkerLost("ended its process (exit code 4)")

    monkeypatch.setattr(pool, "_reload", reload)
    pool.workers[0].process.kill()
    not_begun = "was not begun: no process that has its target is left"
    assert outcomes(pool, 3) == {0: "ended its process by SIGKILL", 1: not_begun, 2: not_begun}


def test_another_worker_that_does_not_load(pool, monkeypatch):
    """One is enough."""
    monkeypatch.setattr("verify.sessions.pool.Pool._reload", lambda *_: (_ for _ in ()).throw(WorkerLost("hung")))
    pool.grow(3)
    assert len(pool.workers) == 1
    with pytest.raises(WorkerLost, match="hung"):
        Pool([]).grow(1)
