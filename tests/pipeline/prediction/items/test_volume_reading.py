"""An item's files become the volume that the reading options choose; a refusal names what `predict` takes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from pyraseg.pipeline.prediction.items.volume_task import read_item_volume
from pyraseg.pipeline.writers.tables.item_records import Item
from pyraseg.transforms.dicom import source_ref
from pyraseg.transforms.errors import GeometryError
from pyraseg.transforms.io.reading_options import ReadingOptions
from tests.transforms.dicom.series_cases import stored_values, write_series


@pytest.fixture
def item(tmp_path) -> Item:
    """A series of two time points."""
    for number in range(2):

        def edit(_, dataset, number=number):
            dataset.TemporalPositionIdentifier = number + 1

        values = stored_values(4) + 1000 * number
        write_series(tmp_path / str(number), values, modality="MR", edit=edit, first_uid=100 * (number + 1))
    paths = sorted(map(str, tmp_path.rglob("*.dcm")))
    refs = [source_ref(path) for path in paths]
    stamps = tuple(ref.stamp for ref in refs)
    return Item("c1", refs[0], paths[0], 1, 1, paths=tuple(paths), slices=8, stamps=stamps)


def test_a_stack_is_refused_with_what_to_type_and_then_chosen(item):
    with pytest.raises(GeometryError, match=r"2 stacks: .*time point 1.*time point 2") as refused:
        read_item_volume(item)
    typed = re.search(r"--stack (\d)", refused.value.remedy)
    assert read_item_volume(item, ReadingOptions(stack=int(typed[1]))).array.max() < 1000
    assert np.asarray(read_item_volume(item, ReadingOptions(stack=2)).array).min() >= 1000


def test_within_an_item_no_series_is_chosen_nor_offered(item, tmp_path):
    def other(_, dataset):
        dataset.SeriesInstanceUID = "1.2.9"

    write_series(tmp_path / "other", edit=other, first_uid=500)
    both = replace(item, paths=(*item.paths, *map(str, (tmp_path / "other").iterdir())))
    for options in (ReadingOptions(), ReadingOptions(series=2)):
        with pytest.raises(GeometryError, match=r"found 2: .* Read a folder that holds one\.$"):
            read_item_volume(both, options)
