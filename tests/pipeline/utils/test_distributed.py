"""One process needs no torchrun and notices nothing; a mistake in starting several is refused."""

from __future__ import annotations

import pytest
import torch

from pyraseg.pipeline.utils import distributed
from pyraseg.transforms.errors import ConfigError


def test_a_single_process_is_the_main_one_and_has_everything():
    assert distributed.is_main()
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.share(["a", "b", "c"]) == ["a", "b", "c"]
    assert distributed.gather({"x": 1}) == [{"x": 1}]
    assert distributed.any_rank(True)
    assert not distributed.any_rank(False)


def test_the_parts_of_several_processes_hold_every_case_once(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    parts = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        parts += distributed.share(list(range(10)))
    assert sorted(parts) == list(range(10))


def test_fewer_cases_than_processes_are_refused_before_one_waits_for_another(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    with pytest.raises(ConfigError, match="found 2 cases for 3 processes"):
        distributed.share(["a", "b"])


def test_torchrun_without_the_config_for_it_is_refused(monkeypatch):
    distributed.refuse_several()
    assert not torch.distributed.is_initialized()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"multi_gpu_train\.yaml as the second config file, found 2"):
        distributed.refuse_several()


def test_the_config_without_torchrun_is_refused(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="torchrun --standalone"):
        distributed.start("cpu")
