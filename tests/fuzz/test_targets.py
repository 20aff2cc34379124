"""Every reader gives a result or one of our errors for its seeds, and for broken copies of them."""

from __future__ import annotations

import pytest

from pyraseg.transforms.errors import PyrasegError
from tests.conftest import ROOT
from tests.fuzz.targets import TARGETS, write_seeds
from tests.mutations import survey

COPIES = 60  # of each target; `make fuzz` reads many more


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_read(name, tmp_path):
    for seed in write_seeds(name, tmp_path / name):
        try:
            answer = TARGETS[name].try_bytes(seed.read_bytes(), tmp_path)
        except PyrasegError as error:
            answer = str(error)
        assert answer == "a result"


def test_broken_copies_give_a_result_or_one_of_our_errors(tmp_path):
    """Also of real frames, where they are."""
    files = [path for name in TARGETS for path in write_seeds(name, tmp_path / name)[:COPIES]]
    real = sorted((ROOT.parent / "shared" / "data" / "dicom" / "us").glob("*.dcm"))
    number = COPIES * (len(TARGETS) + bool(real))
    verdict = survey([*files, *real], number)
    assert verdict.defects == []
    assert sum(verdict.outcomes.values()) == number
    assert 0 < verdict.outcomes["a result"] < number
