"""An item that fails, in whatever way, costs itself alone; nothing is left of the workers, however the run
ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from pyraseg.pipeline.prediction.processes.network_client import Request, Shapes
from pyraseg.pipeline.prediction.processes.workers import Outcome, Workers
from pyraseg.transforms.errors import RunError
from tests.pipeline.prediction.tasks import act, score

PRELOAD = ["tests.pipeline.prediction.tasks", "pyraseg.pipeline.prediction.processes.worker"]
ROOT = Path(__file__).resolve().parents[4]
GIGABYTE = 2**30


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    with Workers(act, number=2, seconds=30, memory=GIGABYTE, preload=PRELOAD) as workers:
        yield workers


def outcomes(pool: Workers, items: list) -> dict[object, Outcome]:
    found = list(pool.run(items))
    assert len(found) == len(items)
    return {outcome.item: outcome for outcome in found}


def test_every_item_comes_back_once_with_its_own_result(pool):
    found = outcomes(pool, list(range(50)))
    assert {item: outcome.result for item, outcome in found.items()} == {n: 2 * n for n in range(50)}


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("refuse", "wanted a whole file, found half of one. Copy it again."),
        ("wrapped", "wanted a whole file, found half of one. Copy it again."),
        ("bloat in a transform", "an item that fits into the memory, found one that does not"),
        ("unexpected", "an internal error of pyraseg, an unexpected ValueError in tasks.py, line"),
        ("broken", "an unexpected ReferenceError in tasks.py, line"),
        ("leave", "ended with status 3"),
        ("killed", "ended by SIGKILL (out of memory?)"),
        ("unpicklable", "ended with status 1"),
        ("bloat", "an item that fits into the memory, found one that does not"),
    ],
)
def test_an_item_that_fails_costs_itself_alone(pool, way, sentence):
    found = outcomes(pool, [1, 2, way, 3, 4, 5])
    assert sentence in str(found.pop(way).error)
    assert {item: outcome.result for item, outcome in found.items()} == {n: 2 * n for n in range(1, 6)}


def test_the_message_of_an_unexpected_error_stays_away(pool):
    assert "patient" not in str(outcomes(pool, ["unexpected"])["unexpected"].error)


def test_workers_that_die_one_after_the_other_are_replaced(pool):
    items = [*range(6), *(("sleep", 0, f"/nowhere/{n}") for n in range(2)), *["killed"] * 4]
    found = list(pool.run(items))
    assert sum(outcome.item == "killed" and outcome.error is not None for outcome in found) == 4
    assert sorted(outcome.result for outcome in found if isinstance(outcome.item, int)) == [0, 2, 4, 6, 8, 10]


def test_an_endless_item_is_ended_and_the_others_go_on(pool, monkeypatch):
    monkeypatch.setattr(pool, "seconds", 1.0)
    found = outcomes(pool, [1, "loop", 2, 3])
    assert "kept still for 1 seconds and was ended" in str(found.pop("loop").error)
    assert {item: outcome.result for item, outcome in found.items()} == {1: 2, 2: 4, 3: 6}


def test_what_watches_the_run_is_asked_before_a_death_is_judged(pool):
    """Whoever asks the run to stop may have ended the workers with the same signal."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(pool.run(["killed"], watch=[stop]))
    pool.stop()
    pool.__enter__()


def test_files_of_a_worker_are_for_the_owner_alone(pool):
    assert outcomes(pool, ["environment"])["environment"].result[1] == 0o077


@pytest.fixture(scope="module")
def line() -> Iterator[tuple[Workers, list]]:
    """Two workers and a network of threads that adds 1000 and answers the later request first."""
    requests: list[Request] = []
    with Workers(
        score,
        number=2,
        seconds=30,
        shapes=Shapes(3, (1, 4, 4), (2, 4, 4)),
        serve=requests.append,
        preload=PRELOAD,
    ) as workers:
        yield workers, requests


def answer(request: Request, error: RunError | None = None) -> None:
    request.scores[:] = 1000 + request.inputs.mean(axis=(1, 2, 3)).reshape(-1, 1, 1, 1)
    request.answer(error)


def network(requests: list, done: threading.Event, *, fails: float | None = None) -> None:
    """Newest first: with two requests of one item waiting, the older one's scores come last."""
    while not done.is_set():
        time.sleep(0.02)
        while requests:
            request = requests.pop()
            bad = fails is not None and int(request.inputs[0].mean()) == fails
            answer(request, RunError("a pass", found="an error", remedy="Try again.") if bad else None)


@pytest.mark.parametrize("fails", [None, 7])
def test_scores_come_to_their_item_and_frame_in_whatever_order_they_are_made(line, fails):
    workers, requests = line
    done = threading.Event()
    thread = threading.Thread(target=network, args=(requests, done), kwargs={"fails": fails})
    thread.start()
    try:
        found = {outcome.item: outcome for outcome in workers.run([(n, 1 + 3 * n % 11) for n in range(12)])}
    finally:
        done.set()
        thread.join()
    assert len(found) == 12
    for (value, frames), outcome in found.items():
        if value == fails:
            assert "found an error" in str(outcome.error)
        else:
            assert outcome.error is None
            np.testing.assert_allclose(
                outcome.result, [1000 + value + n / 100 for n in range(frames)], atol=1e-3
            )


def test_waiting_for_the_network_is_not_keeping_still(line, monkeypatch):
    workers, requests = line
    monkeypatch.setattr(workers, "seconds", 0.5)
    late = threading.Timer(2, lambda: answer(requests.pop()))
    late.start()
    (outcome,) = workers.run([(1, 1)])
    assert outcome.error is None


ORPHANS = """
import sys
from pyraseg.pipeline.prediction.processes.workers import Workers
from tests.pipeline.prediction.tasks import act
if __name__ == "__main__":
    preload = ["tests.pipeline.prediction.tasks", "pyraseg.pipeline.prediction.processes.worker"]
    with Workers(act, number=2, preload=preload) as pool:
        for _ in pool.run([("sleep", 600, sys.argv[1] + "/a"), ("sleep", 600, sys.argv[1] + "/b")]):
            pass
"""


def test_no_process_outlives_a_run_that_is_killed(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, script, tmp_path], cwd=ROOT, env=environment)
    deadline = time.monotonic() + 60
    while not all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in "ab"):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    assert {int((tmp_path / name).read_text()) for name in "ab"} <= {child.pid for child in family}
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs(family, timeout=20)[1] == []


def test_a_template_that_is_killed_while_a_worker_starts_is_made_anew():
    code = f"""
import os, signal, threading
from multiprocessing import forkserver
from pyraseg.pipeline.prediction.processes.workers import Workers
from tests.pipeline.prediction.tasks import act

forkserver.ensure_running()
template = forkserver._forkserver._forkserver_pid
os.kill(template, signal.SIGSTOP)
threading.Timer(0.5, os.kill, (template, signal.SIGKILL)).start()
with Workers(act, number=1, preload={PRELOAD}) as pool:
    print([outcome.result for outcome in pool.run([21])])
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "[42]\n", ran.stderr
