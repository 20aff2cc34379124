"""Frames of any items are scored together and come back to the right one; an error costs the frames that
cause it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from pyraseg.pipeline.prediction.processes.network_client import Request
from pyraseg.pipeline.prediction.processes.network_server import ForwardServer
from pyraseg.transforms.errors import InputError, PyrasegError, RunError


class Asked:
    """Requests to a server, and their answers."""

    def __init__(self, values: list[list[float]]) -> None:
        self.left = threading.Semaphore(0)
        self.errors: dict[int, PyrasegError | None] = {}
        self.scores = [np.full((len(each), 2, 1, 1), np.nan, np.float32) for each in values]
        self.requests = [
            Request(
                np.array(each, np.float32).reshape(-1, 1, 1, 1),
                scores,
                lambda error, n=n: self.answer(n, error),
            )
            for n, (each, scores) in enumerate(zip(values, self.scores, strict=True))
        ]

    def answer(self, number: int, error: PyrasegError | None) -> None:
        assert number not in self.errors
        self.errors[number] = error
        self.left.release()

    def wait(self, seconds: float = 20) -> None:
        for _ in self.requests:
            assert self.left.acquire(timeout=seconds)


def doubled(inputs: torch.Tensor) -> torch.Tensor:
    return torch.cat([2 * inputs, 3 * inputs], dim=1)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_frame_gets_its_own_scores(threads):
    values = [[float(10 * n + m) for m in range(1 + n % 4)] for n in range(40)]
    asked, server = Asked(values), ForwardServer(doubled, batch_size=5, threads=threads)
    for request in asked.requests:
        server.submit(request)
    asked.wait()
    server.close()
    for each, scores in zip(values, asked.scores, strict=True):
        np.testing.assert_array_equal(scores[:, :, 0, 0], [[2 * value, 3 * value] for value in each])
    assert set(asked.errors.values()) == {None}
    assert server.frames == sum(map(len, values))


def test_what_waits_is_scored_together_up_to_the_batch_size():
    sizes: list[int] = []
    gate = threading.Event()

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        gate.wait(20)
        sizes.append(len(inputs))
        return doubled(inputs)

    asked, server = Asked([[1.0, 1.0]] * 7), ForwardServer(forward, batch_size=4)
    for request in asked.requests:
        server.submit(request)
    gate.set()
    asked.wait()
    server.close()
    assert sum(sizes) == 14
    assert max(sizes) == 4


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, ValueError])
def test_an_error_in_the_forward_pass_fails_the_frames_that_cause_it_alone(kind):
    gate = threading.Event()

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        gate.wait(20)
        if (inputs == 13).any():
            raise kind("with what may be a path")
        return doubled(inputs)

    asked, server = Asked([[1.0], [13.0], [2.0], [3.0]]), ForwardServer(forward, batch_size=8)
    for request in asked.requests:
        server.submit(request)
    gate.set()
    asked.wait()
    server.check()
    server.close()
    assert [number for number, error in asked.errors.items() if error is not None] == [1]
    assert f"an error in its forward pass ({kind.__name__})" in str(asked.errors[1])
    assert "path" not in str(asked.errors[1])
    assert [scores[0, 0, 0, 0] for n, scores in enumerate(asked.scores) if n != 1] == [2, 4, 6]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_ends_the_run():
    def forward(inputs: torch.Tensor) -> torch.Tensor:
        raise GeneratorExit

    asked, server = Asked([[1.0]]), ForwardServer(forward, batch_size=1)
    server.check()
    server.submit(asked.requests[0])
    server._threads[0].join(20)
    with pytest.raises(RunError, match="a thread of it that ended"):
        server.check()


def test_a_refusal_of_the_network_reaches_the_item_that_causes_it_in_its_own_words():
    def forward(inputs: torch.Tensor) -> torch.Tensor:
        if not inputs.isfinite().all():
            raise InputError("an image of finite numbers", found="NaN", remedy="Leave it out.")
        return doubled(inputs)

    asked, server = Asked([[1.0], [float("nan")], [3.0]]), ForwardServer(forward, batch_size=8)
    for request in asked.requests:
        server.submit(request)
    asked.wait()
    server.close()
    assert [asked.errors[0], asked.errors[2]] == [None, None]
    assert isinstance(asked.errors[1], InputError)
