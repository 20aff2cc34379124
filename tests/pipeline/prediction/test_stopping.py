"""Signals as requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pyraseg.pipeline.prediction.stopping import Stopping


def test_a_signal_is_a_request_and_a_second_one_stops_at_once():
    with Stopping() as stopping:
        stopping.check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stopping.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_handlers_are_as_before_behind_it():
    before = signal.getsignal(signal.SIGINT)
    with Stopping():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.skipif(sys.platform != "linux", reason="the signal stack is Linux's")
def test_a_signal_stack_that_a_library_has_freed_ends_no_process():
    code = (
        "import ctypes, mmap, os, signal\n"
        "from pyraseg.pipeline.prediction.stopping import Stopping, _Stack\n"
        "place = mmap.mmap(-1, 65536)\n"
        "at = ctypes.addressof(ctypes.c_char.from_buffer(place))\n"
        "ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(at, 0, 65536)), None)\n"
        "ctypes.CDLL(None).munmap(ctypes.c_void_p(at), ctypes.c_size_t(65536))\n"
        "with Stopping() as stopping:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "print(stopping.requested)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
