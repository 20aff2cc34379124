"""A step is a process that is asked to stop once, and that never outlives the command."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from pyraseg.pipeline.experiments.running import run_process

WAITING = """
import os, pathlib, signal, subprocess, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {helper.pid}")
while len(asked) < NEEDED:
    time.sleep(0.01)
time.sleep(0.1)
pathlib.Path(sys.argv[1] + ".asked").write_text(str(len(asked)))
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet collected does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("status", [0, 3])
def test_the_exit_status_comes_back(status):
    assert run_process([sys.executable, "-c", f"raise SystemExit({status})"]) == status


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")
@pytest.mark.parametrize("stubborn", [False, True])
def test_an_interrupt_asks_the_process_once_and_leaves_nothing_behind(tmp_path, stubborn):
    file = tmp_path / "pids"
    command = [sys.executable, "-c", WAITING.replace("NEEDED", "99" if stubborn else "1"), str(file)]

    def interrupt():
        while not file.is_file() or not file.read_text():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_process(command, patience=0.3 if stubborn else 30)
    thread.join()
    pids = [int(word) for word in file.read_text().split()]
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [alive(pid) for pid in pids] == [False, False]
    assert stubborn or (tmp_path / "pids.asked").read_text() == "1"


def test_a_second_interrupt_asks_once_more_before_it_ends_the_process(tmp_path):
    file = tmp_path / "pids"
    command = [sys.executable, "-c", WAITING.replace("NEEDED", "2"), str(file)]

    def interrupt():
        while not file.is_file() or not file.read_text():
            time.sleep(0.01)
        for pause in (0.3, 0):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(pause)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_process(command, patience=30)
    thread.join()
    assert (tmp_path / "pids.asked").read_text() == "2"
