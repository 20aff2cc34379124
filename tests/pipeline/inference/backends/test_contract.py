"""What every backend owes: torch's scores for any batch, through members, flips and windows alike."""

from __future__ import annotations

import copy
import threading

import pytest
import torch

from pyraseg.pipeline.inference.backends.agreement import BAR, class_agreement, smooth_images
from pyraseg.pipeline.inference.ensemble import Ensemble
from pyraseg.pipeline.inference.inferer import SegmentationInferer
from pyraseg.pipeline.networks import NETWORKS, build_network
from pyraseg.transforms.errors import ConfigError
from tests.pipeline.inference.backends.conftest import CPU, SIZE, build


@pytest.fixture(params=["torch", "openvino", "onnxruntime"])
def backend_name(request, cache):
    if request.param != "torch":
        pytest.importorskip(request.param, reason="an optional library")
    return request.param


def images(number: int, size=SIZE) -> torch.Tensor:
    return torch.rand(number, 1, *size, generator=torch.Generator().manual_seed(number))


def expected(network, batch, mode="whole", **options) -> torch.Tensor:
    with torch.no_grad():
        return SegmentationInferer(mode, device=CPU, amp=False, **options)(batch, network.eval())


def test_the_scores_are_torch_s_for_any_batch(backend_name, small):
    network = small()
    backend = build(backend_name, network)
    assert backend_name in backend.name
    assert backend_name in backend.reason
    for number in (5, 1, 3):
        found = backend(images(number))
        assert found.shape == (number, 2, *SIZE)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected(network, images(number)), rtol=0, atol=1e-4)


def test_an_image_has_the_same_scores_alone_and_in_a_batch(backend_name, small):
    backend = build(backend_name, small())
    batch = images(5)
    torch.testing.assert_close(
        torch.cat([backend(image[None]) for image in batch]), backend(batch), rtol=0, atol=1e-5
    )


def test_scores_stay_when_the_next_batch_is_scored_and_may_be_changed(backend_name, small):
    backend = build(backend_name, small())
    first = backend(images(1))
    kept = first.clone()
    backend(images(1).flip(2) * 0.5)
    assert torch.equal(first, kept)
    first += 1


@pytest.mark.parametrize(
    "options", [{"tta_flips": ["w"]}, {"tta_flips": ["h", "w"]}, {"mode": "sliding"}], ids=str
)
def test_members_flips_and_windows_are_those_of_torch(backend_name, small, options):
    network = Ensemble([small(seed=0), small(seed=1)])
    batch = images(2, size=(50, 61) if "mode" in options else SIZE)
    found = build(backend_name, network, **options)(batch)
    wanted = expected(network, batch, **{"roi_size": SIZE, **options})
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    single = expected(network.members[0], batch, **{"roi_size": SIZE, **options})
    assert not torch.allclose(found, single, atol=1e-2)


def test_the_network_is_left_as_it_was(backend_name, small):
    network = small()
    before = copy.deepcopy(network.state_dict())
    backend = build(backend_name, network, weights_hash="e" * 64)
    backend(images(2))
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.is_grad_enabled()


def test_threads_may_call_at_a_time(backend_name, small):
    network = small()
    backend = build(backend_name, network, network_threads=2, threads=2)
    batches = {number: images(number) for number in (1, 2, 3, 4)}
    found = {}

    def score(number: int) -> None:
        for _ in range(5):
            found[number] = backend(batches[number])

    threads = [threading.Thread(target=score, args=(number,)) for number in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.keys() == batches.keys()
    for number, batch in batches.items():
        torch.testing.assert_close(found[number], expected(network, batch), rtol=0, atol=1e-4)


def test_another_size_is_refused_where_the_export_is_for_one(backend_name, small):
    backend = build(backend_name, small())
    if backend_name == "torch":
        assert backend(images(1, size=(48, 48))).shape == (1, 2, 48, 48)
        return
    with pytest.raises(ConfigError, match=r"1 x 32 x 40.*1 x 48 x 48"):
        backend(images(1, size=(48, 48)))


@pytest.mark.parametrize("network_name", NETWORKS)
def test_every_network_has_torch_s_classes_in_every_backend(backend_name, network_name):
    torch.manual_seed(0)
    options = {"depth": 18, "skips": [2, 1], "aux": True} if network_name == NETWORKS[0] else {}
    network = build_network(network_name, in_channels=1, out_channels=3, **options)
    size = (64, 53)
    backend = build(backend_name, network, input_size=size, weights_hash=network_name)
    batch = smooth_images((1, *size), seed=7)
    assert class_agreement(backend(batch), expected(network, batch)) >= BAR


def test_bfloat16_is_taken_where_it_is_asked_for_and_stays_near(backend_name, small):
    network = small()
    backend = build(backend_name, network, amp=True)
    assert ("fp32" if backend_name == "onnxruntime" else "bf16") in backend.name
    batch = images(2)
    torch.testing.assert_close(backend(batch), expected(network, batch), rtol=0, atol=0.1)
