"""The memory that inputs and scores go through, and the order in which a worker gets them."""

from __future__ import annotations

import multiprocessing
import threading
from multiprocessing.connection import Connection

import numpy as np
import pytest

from pyraseg.pipeline.prediction.processes.network_client import NetworkClient, Shapes, shared_memory, views
from pyraseg.transforms.errors import RunError

SHAPES = Shapes(2, (1, 3, 3), (2, 3, 3))


@pytest.fixture
def ends() -> tuple[NetworkClient, Connection, np.ndarray, np.ndarray]:
    """A worker's end; the other end's connection, inputs and scores."""
    ours, theirs = multiprocessing.Pipe()
    memory = shared_memory(multiprocessing.get_context("spawn"), SHAPES)
    inputs, scores, _ = views(memory, SHAPES)
    return NetworkClient(theirs, memory, SHAPES), ours, inputs, scores


def image(value: float) -> np.ndarray:
    return np.full((1, 3, 3), value, np.float32)


def test_slots_follow_each_other_and_scores_come_oldest_first_though_answered_last_first(ends):
    client, ours, inputs, scores = ends
    client.send([image(1), image(2)])
    client.send([image(3)])
    assert [ours.recv(), ours.recv()] == [("scores", 0, 2), ("scores", 1, 1)]
    assert [float(each.mean()) for each in inputs.reshape(-1, 1, 3, 3)[:3]] == [1, 2, 3]
    scores[1, 0] = 30
    ours.send((1, None))
    scores[0, :2] = 12
    ours.send((0, None))
    assert client.receive().shape == (2, 2, 3, 3)
    client.send([image(4)])
    assert ours.recv() == ("scores", 0, 1)
    assert float(client.receive().mean()) == 30


def test_an_error_comes_with_the_chunk_that_it_is_of(ends):
    client, ours, _, _ = ends
    client.send([image(1)])
    client.send([image(2)])
    ours.send((1, RunError("a pass", found="an error", remedy="Try again.")))
    ours.send((0, None))
    client.receive()
    with pytest.raises(RunError):
        client.receive()


@pytest.mark.parametrize("first", [0, 1])
def test_the_next_item_meets_no_answer_of_the_one_before(ends, first):
    client, ours, _, scores = ends
    client.send([image(1)])
    client.send([image(2)])
    ours.send((first, RunError("a pass", found="an error", remedy="Try again.")))
    late = threading.Timer(0.1, lambda: ours.send((1 - first, None)))
    late.start()
    client.drain()
    late.join()
    client.send([image(3)])
    scores[:] = 7
    ours.send((0, None))
    assert float(client.receive().mean()) == 7
    assert not client.connection.poll()
