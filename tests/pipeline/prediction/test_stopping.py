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


@pytest.mark.parametrize("signals", [1, 2])
def test_a_pass_of_the_network_that_still_computes_ends_no_process_by_sigabrt(signals):
    code = (
        "import os, signal, sys, threading, time\n"
        "import numpy as np, torch\n"
        "from pyraseg.pipeline.prediction.processes.network_client import Request\n"
        "from pyraseg.pipeline.prediction.processes.network_server import ForwardServer\n"
        "begun = threading.Event()\n"
        "def forward(inputs):\n"
        f"    if {signals} == 2: threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    begun.set(); end, values = time.monotonic() + 1, torch.rand(200, 200)\n"
        "    while time.monotonic() < end: values = (values @ values) % 1\n"
        "    return inputs\n"
        "server = ForwardServer(forward, batch_size=1)\n"
        "array = np.zeros((1, 1), np.float32)\n"
        "for _ in range(9): server.submit(Request(array, array, lambda error: None))\n"
        "begun.wait()\n"
        "try:\n    server.close()\n"
        "except KeyboardInterrupt: pass\n"
        "sys.exit(130)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
