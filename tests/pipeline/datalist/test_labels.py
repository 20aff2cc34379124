"""Mask values and their class names from the command line."""

from __future__ import annotations

import pytest

from pyraseg.pipeline.datalist import parse_label_map
from pyraseg.transforms.errors import LabelError


def test_one_value_gives_two_classes() -> None:
    assert parse_label_map(["255=hydronephrosis"]) == (["background", "hydronephrosis"], {0: 0, 255: 1})


@pytest.mark.parametrize("pairs", [["200=kidney,100=fluid"], ["200=kidney", " 100 = fluid "]])
def test_names_keep_their_order(pairs: list[str]) -> None:
    assert parse_label_map(pairs) == (["background", "kidney", "fluid"], {0: 0, 100: 2, 200: 1})


def test_two_values_may_share_a_class_and_the_background_may_be_named() -> None:
    names, mapping = parse_label_map(["1=fluid,2=fluid,9=background"])
    assert names == ["background", "fluid"]
    assert mapping == {0: 0, 1: 1, 2: 1, 9: 0}


@pytest.mark.parametrize(
    "pairs",
    [
        ["255"],
        ["fluid=255"],
        ["=fluid"],
        ["255="],
        [""],
        ["-1=fluid"],
        ["1=a,1=b"],
        [],
        ["GTV=a,gtv =b"],
        ["GTV=a,gtv=a"],
        ["tumour=1"],
    ],
)
def test_what_does_not_read_so_or_names_one_twice_is_refused(pairs: list[str]) -> None:
    with pytest.raises(LabelError):
        parse_label_map(pairs)


def test_parts_may_be_given_by_name_which_may_hold_an_equals_sign() -> None:
    names, mapping = parse_label_map(["GTV_Mass=tumour,2=tumour", "T=1 lesion=tumour", "Liver=liver"])
    assert names == ["background", "tumour", "liver"]
    assert mapping == {0: 0, 2: 1, "GTV_Mass": 1, "T=1 lesion": 1, "Liver": 2}
