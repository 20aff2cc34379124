"""Which backend computes, and what the user hears about it."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch

from pyraseg.pipeline.inference.backends import choose
from pyraseg.pipeline.inference.backends.agreement import Agreement
from pyraseg.pipeline.inference.backends.base import Runtime
from pyraseg.pipeline.inference.backends.export import read_facts, write_facts
from pyraseg.transforms.errors import ConfigError
from tests.pipeline.inference.backends.conftest import build


@pytest.fixture
def clock(monkeypatch):
    """What a measurement finds; every call of it counts."""
    times = {"torch": 30.0, "openvino": 10.0, "onnxruntime": 20.0}
    calls = []

    def measure(forwards, setting):
        calls.append(sorted(forwards))
        return {name: times[name] for name in forwards}

    monkeypatch.setattr(choose, "measure_ms", measure)
    return times, calls


@pytest.fixture
def only_onnxruntime(monkeypatch):
    """One library, which CI has."""
    pytest.importorskip("onnxruntime", reason="an optional library")
    monkeypatch.setattr(choose, "RUNTIMES", {"onnxruntime": choose.RUNTIMES["onnxruntime"]})


def test_an_unknown_backend_is_an_error_with_the_known_ones(small):
    with pytest.raises(ConfigError, match=r"auto, torch, openvino, onnxruntime.*'tensorrt'"):
        build("tensorrt", small())


def test_a_library_that_is_not_installed_is_an_error_with_pip_s_command(small, monkeypatch):
    absent = Runtime("no_such_library", "no_such_library>=1", True, None)
    monkeypatch.setitem(choose.RUNTIMES, "openvino", absent)
    with pytest.raises(ConfigError, match=r'pip install "no_such_library>=1"'):
        build("openvino", small())


def test_a_library_for_cpus_refuses_a_gpu(small):
    with pytest.raises(ConfigError, match="--device cpu"):
        build("openvino", small(), device=torch.device("meta"))


def test_auto_is_torch_where_nothing_else_is_installed(small, monkeypatch):
    monkeypatch.setattr(
        choose, "RUNTIMES", {"none": Runtime("no_such_library", "no_such_library", True, None)}
    )
    backend = build("auto", small())
    assert backend.name == "torch fp32 channels_last"
    assert "only one that is installed" in backend.reason


def test_auto_takes_the_fastest_says_why_and_measures_once(small, cache, clock, only_onnxruntime):
    times, calls = clock
    first = build("auto", small())
    assert first.name == "onnxruntime fp32"
    assert first.reason == "onnxruntime fp32, 20 ms an image against torch fp32 channels_last 30 ms"
    times["torch"] = 5.0
    assert build("auto", small()).reason == first.reason
    assert calls == [["onnxruntime", "torch"]]


def test_for_few_images_auto_measures_nothing_and_takes_what_it_knows(
    small, own_cache, clock, only_onnxruntime
):
    _, calls = clock
    few = build("auto", small(), images=choose.MANY - 1)
    assert (few.name, calls) == ("torch fp32 channels_last", [])
    assert f"below {choose.MANY} frames" in few.reason
    build("auto", small(), images=choose.MANY)
    assert build("auto", small(), images=1).name == "onnxruntime fp32"
    assert len(calls) == 1


@pytest.mark.parametrize("changed", [{"weights_hash": "e" * 64}, {"batch_size": 4}, {"threads": 2}], ids=str)
def test_another_checkpoint_batch_or_number_of_threads_is_measured_anew(
    small, own_cache, clock, changed, only_onnxruntime
):
    times, calls = clock
    build("auto", small())
    times["torch"] = 5.0
    assert build("auto", small(), **changed).name == "torch fp32 channels_last"
    assert len(calls) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"milliseconds": {"torch": "fast"}, "refused": {}}', "{}"])
def test_a_damaged_measurement_is_taken_anew(small, own_cache, clock, content, only_onnxruntime):
    build("auto", small())
    (note,) = (own_cache / "timings").iterdir()
    note.write_text(content)
    assert build("auto", small()).name == "onnxruntime fp32"
    assert len(clock[1]) == 2


def test_auto_falls_back_on_torch_and_says_so_where_classes_differ(
    small, own_cache, clock, monkeypatch, caplog, only_onnxruntime
):
    def wrong(path, setting):
        load = choose.ONNXRUNTIME.load(path, setting)
        return lambda images: [-part for part in load(images)]

    runtime = replace(choose.ONNXRUNTIME, load=wrong)
    monkeypatch.setattr(choose, "RUNTIMES", {"onnxruntime": runtime})
    with caplog.at_level(logging.WARNING):
        backend = build("auto", small())
    assert backend.name == "torch fp32 channels_last"
    assert "onnxruntime is left out: " in backend.reason
    assert "onnxruntime is left out: " in caplog.text
    with pytest.raises(ConfigError, match=r"99\.9%.*by onnxruntime.*--backend torch"):
        build("onnxruntime", small())


def test_the_verdict_on_an_export_is_kept(small, own_cache, monkeypatch, only_onnxruntime):
    build("onnxruntime", small())
    (note,) = own_cache.glob("*/onnxruntime-*.json")
    facts = read_facts(note)
    assert Agreement(**facts).holds
    write_facts(note, {**facts, "exported": 0.5})
    with pytest.raises(ConfigError, match=r"50\.00%"):
        build("onnxruntime", small())
    note.write_text("damaged")
    build("onnxruntime", small())


@pytest.mark.parametrize(
    ("exported", "working", "itself", "holds"),
    [
        (1.0, 1.0, 1.0, True),
        (0.9991, 0.9991, 1.0, True),
        (0.9989, 1.0, 1.0, False),  # a fault of the export, whatever the type hides
        (1.0, 0.99, 1.0, False),
        (1.0, 0.99, 0.99, True),  # torch's own bfloat16 changes as many
        (1.0, 0.97, 0.99, False),
    ],
)
def test_agreement_is_held_to_torch_in_the_same_type(exported, working, itself, holds):
    assert Agreement(exported=exported, working=working, torch=itself).holds is holds


def test_a_real_measurement_has_a_time_for_each(small, own_cache, only_onnxruntime):
    reason = build("auto", small(), batch_size=2, network_threads=2, threads=2).reason
    assert "ms an image against" in reason
    (note,) = (own_cache / "timings").iterdir()
    assert all(value > 0 for value in read_facts(note)["milliseconds"].values())
