"""Broken copies of real files give frames of the stated shape or our error, and what does not is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests import mutations
from tests.mutations import KINDS, mutate


def test_a_seed_breaks_a_file_in_one_way_and_seeds_in_many():
    data = bytes(range(256)) * 20
    assert mutate(data, 7) == mutate(data, 7)
    assert len({mutate(data, seed) for seed in range(50)}) > 40
    assert len(KINDS) == 6


def test_what_is_neither_a_frame_nor_our_error_is_called_a_defect(write_dicom, grey, monkeypatch):
    def broken_reader(path: Path) -> object:
        raise KeyError("Rows")

    monkeypatch.setitem(mutations.TARGETS, "frame", replace(mutations.TARGETS["frame"], read=broken_reader))
    assert list(mutations.read_broken(0, 2, 0, [write_dicom(grey)])) == [
        "image.dcm 0/0\tDEFECT: KeyError: 'Rows'",
        "image.dcm 0/1\tDEFECT: KeyError: 'Rows'",
    ]
