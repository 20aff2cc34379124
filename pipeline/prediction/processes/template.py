"""The process that workers are forked from: it imports what they need, beside the main process."""

from __future__ import annotations

import multiprocessing
import signal

__all__ = ["PRELOAD", "start_template"]

PRELOAD = (
    "pyraseg.pipeline.prediction.items.frame_task",
    "pyraseg.pipeline.prediction.items.volume_task",
    "highdicom.sr",
    "PIL.WebPImagePlugin",
    "skimage.measure",
)


def start_template() -> None:
    """Start it and return at once: before the main process's own imports, both take the time of one."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver, resource_tracker

        multiprocessing.set_forkserver_preload([*PRELOAD])
        resource_tracker.ensure_running()  # it would be started below, and unblock the signal
        # Ctrl-C reaches all processes of the terminal; this one decides, and the others import on
        former = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)
