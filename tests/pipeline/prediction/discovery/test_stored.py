"""Records on disk: their order, their groups, and no more than a few of them in memory."""

from __future__ import annotations

import pytest

from pyraseg.pipeline.prediction.discovery.stored import FEW, Stored

NAMES = ["b", "a/2", "\udcff", "腎", "a/10", "", "z", "\ue000"]  # \udcff stands for a byte that is no text


def test_records_come_in_the_order_of_their_names_and_then_of_their_coming():
    stored: Stored[tuple[str, int]] = Stored()
    for number, name in enumerate([*NAMES, *NAMES]):
        stored.add(name, (name, number))
    wanted = sorted(
        ((name, number) for number, name in enumerate([*NAMES, *NAMES])), key=lambda each: each[0]
    )
    assert (list(stored), len(stored), stored[3], stored[:2]) == (wanted, 16, wanted[3], tuple(wanted[:2]))
    assert [[name for name, _ in group] for group in stored.groups()] == [[n, n] for n in sorted(NAMES)]
    assert list(stored) == list(stored)
    with pytest.raises(IndexError):
        Stored()[0]


def test_few_records_are_a_tuple_and_many_stay_on_disk():
    stored: Stored[int] = Stored()
    assert not stored.in_memory()
    for number in range(FEW + 1):
        if number == FEW:
            assert stored.in_memory() == tuple(range(FEW))
        stored.add("", number)
    assert stored.in_memory() is stored
    assert sum(stored) == sum(range(FEW + 1))
