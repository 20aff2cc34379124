"""The network's side: runs batches of frames from all items, in one thread or several."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable

import numpy as np
import torch

from pyraseg.pipeline.prediction.processes.network_client import Request
from pyraseg.transforms.errors import PyrasegError, RunError

__all__ = ["ForwardServer"]

Forward = Callable[[torch.Tensor], torch.Tensor]


class ForwardServer:
    """Runs the network on waiting frames of any items, up to ``batch_size`` at once.

    Args:
        forward: (B, C, h, w) float32 -> scores (B, K, h, w) float32.
        batch_size: the most frames in one pass.
        features: (n) -> the features (n, F) of the frames in this thread's last call of ``forward``; None for
            none.
        threads: parallel passes. On a CPU several passes of one core each do more than one pass of several
            cores, because they do not wait for each other; on a GPU one is enough.
    """

    def __init__(
        self,
        forward: Forward,
        *,
        batch_size: int,
        threads: int = 1,
        features: Callable[[int], np.ndarray] | None = None,
    ) -> None:
        self.forward = forward
        self.features = features
        self.batch_size = batch_size
        self.seconds = 0.0
        self.frames = 0
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        cores = max(1, torch.get_num_threads() // threads)
        self._threads = [
            threading.Thread(target=self._serve, args=(cores,), name=f"network {n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request; its ``answer`` is called from another thread."""
        self._requests.put(request)

    def close(self) -> None:
        """End the threads after the pass that each is in; requests that wait are dropped.

        A thread that still computes while the interpreter ends would abort the process (SIGABRT), so where a
        second signal cuts the waiting short, the process ends without that end.
        """
        with contextlib.suppress(queue.Empty):
            while True:
                self._requests.get_nowait()
        for _ in self._threads:
            self._requests.put(None)
        try:
            for thread in self._threads:
                thread.join()
        except KeyboardInterrupt:
            atexit.register(os._exit, 130)
            raise

    def check(self) -> None:
        """Raise RunError if a thread has ended by an error that is no item's fault."""
        if not all(thread.is_alive() for thread in self._threads):
            raise RunError(
                "a network that runs", found="a thread of it that ended", remedy="See the lines above."
            )

    def _serve(self, cores: int) -> None:
        torch.set_num_threads(cores)
        while (first := self._requests.get()) is not None:
            requests = [first]
            while sum(len(request.inputs) for request in requests) < self.batch_size:
                try:
                    following = self._requests.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._requests.put(None)
                    break
                requests.append(following)
            self._score(requests)

    def _score(self, requests: list[Request]) -> None:
        """Score all requests together; if that fails, each alone, so that one item does not fail another."""
        error = self._error(requests)
        for request in requests:
            request.answer(self._error([request]) if error is not None and len(requests) > 1 else error)

    def _error(self, requests: list[Request]) -> PyrasegError | None:
        try:
            self._run(requests)
        except PyrasegError as error:
            return error
        except Exception as error:  # whatever the network raises fails its frames, not the thread
            memory = isinstance(error, MemoryError | RuntimeError)  # raised by a device out of memory
            return RunError(
                "a network that can score the frames",
                found=f"an error in its forward pass ({type(error).__name__})",
                remedy="Try a smaller --batch-size, or --device cpu." if memory else "Report it.",
            )
        return None

    def _run(self, requests: list[Request]) -> None:
        begin = time.perf_counter()
        parts = [torch.from_numpy(request.inputs) for request in requests]
        with torch.inference_mode():
            scores = self.forward(parts[0] if len(parts) == 1 else torch.cat(parts))
        features = None if self.features is None else self.features(len(scores))
        begins = 0
        for request in requests:
            part = slice(begins, begins + len(request.inputs))
            request.scores[:] = scores[part].numpy()
            if features is not None and request.features is not None and request.features.size:
                request.features[:] = features[part]
            begins = part.stop
        with self._lock:
            self.seconds += time.perf_counter() - begin
            self.frames += begins
