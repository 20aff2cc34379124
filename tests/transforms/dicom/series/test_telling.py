"""Images at one place are told apart by what their headers say, in words and numbers to choose by."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import GeometryError
from tests.transforms.dicom.series_cases import position, stored_values, write_enhanced, write_series


def read(source, **options):
    return read_series(the_series(find_series(source)), **options)


def write_stacks(folder, *stacks, modality="MR", slices=4):
    """A classic series of several stacks, each a mapping of attributes; a function gets the slice's index."""
    for number, values in enumerate(stacks):

        def edit(index, dataset, values=values):
            for name, value in values.items():
                setattr(dataset, name, value(index) if callable(value) else value)

        pixels = stored_values(slices) + 1000 * number
        write_series(folder / str(number), pixels, modality=modality, edit=edit, first_uid=100 * (number + 1))
    return folder


def labels(source):
    """The list of stacks in the refusal, without the sizes."""
    with pytest.raises(GeometryError) as caught:
        read(source)
    return [part.partition("axial, ")[2] for part in caught.value.found.split("; ")]


MR, PHASE = ["ORIGINAL", "PRIMARY", "M", "ND"], ["ORIGINAL", "PRIMARY", "P", "ND"]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("NominalPercentageOfCardiacPhase", (0.0, 50.0), "cardiac phase (%)"),
        ("TriggerTime", (12.5, 300.0), "trigger time"),
        ("EchoNumbers", (1, 2), "echo"),
        ("FlipAngle", (5, 25), "flip angle"),
        ("InversionTime", (100, 2500), "inversion time"),
        ("DiffusionBValue", (0.0, 1000.0), "b-value"),
        ("KVP", (80, 140), "tube voltage"),
        ("ConvolutionKernel", ("B30F", "B70F"), "convolution kernel"),
        ("SliceThickness", (1.0, 4.0), "slice thickness"),
        ("ComplexImageComponent", ("MAGNITUDE", "PHASE"), "complex component"),
    ],
)
def test_stacks_are_named_by_what_differs_and_chosen_by_number(tmp_path, name, values, words):
    folder = write_stacks(tmp_path, *({name: value} for value in values))
    first, second = (f"{value:g}" if isinstance(value, int | float) else value for value in values)
    assert labels(folder) == [f"{words} {first}", f"{words} {second}"]
    np.testing.assert_array_equal(read(folder, stack=2).array, (stored_values(4) + 1000).transpose(2, 1, 0))


def test_magnitude_and_phase_are_named_by_the_part_of_the_image_type_that_differs(tmp_path):
    assert labels(write_stacks(tmp_path, {"ImageType": PHASE}, {"ImageType": MR})) == [
        "image type M",
        "image type P",
    ]


def test_two_attributes_name_stacks_that_none_of_them_tells_apart_alone(tmp_path):
    stacks = [{"EchoTime": echo, "ImageType": kind} for echo in (5, 10) for kind in (MR, PHASE)]
    assert labels(write_stacks(tmp_path, *stacks)) == [
        f"echo time {echo}, image type {kind}" for echo in (5, 10) for kind in "MP"
    ]


def test_numbers_come_in_their_order_whatever_that_of_the_files(tmp_path):
    folder = write_stacks(tmp_path, *({"TriggerTime": time} for time in (100, 20, 3)))
    assert labels(folder) == ["trigger time 3", "trigger time 20", "trigger time 100"]


def test_times_that_go_on_from_slice_to_slice_count_by_their_order_at_each_place(tmp_path):
    start = {0: 120000, 1: 120100}
    stacks = [{"AcquisitionTime": lambda index, at=at: str(start[at] + index)} for at in (1, 0)]
    folder = write_stacks(tmp_path, *stacks)
    assert labels(folder) == [f"acquisition time {number} of 2 at each place" for number in (1, 2)]
    np.testing.assert_array_equal(read(folder, stack=2).array, stored_values(4).transpose(2, 1, 0))


def test_times_of_day_and_free_text_are_not_shown(tmp_path):
    folder = write_stacks(tmp_path / "a", {"ContentTime": "101112"}, {"ContentTime": "131415"})
    assert labels(folder) == ["content time 1 of 2", "content time 2 of 2"]
    folder = write_stacks(tmp_path / "b", {"ContrastBolusAgent": "Sentinel Jane"}, {"ContrastBolusAgent": ""})
    assert labels(folder) == ["contrast agent not stated", "contrast agent 2 of 2"]


def test_a_slice_that_was_taken_again_is_no_stack_of_its_own(tmp_path):
    write_series(
        tmp_path / "a", modality="MR", edit=lambda index, ds: setattr(ds, "AcquisitionTime", f"12000{index}")
    )
    again = stored_values(1) + 7
    write_series(
        tmp_path / "b",
        again,
        modality="MR",
        first_uid=900,
        edit=lambda _, ds: setattr(ds, "AcquisitionTime", "130000"),
    )
    with pytest.raises(GeometryError, match="different slices at one place"):
        read(tmp_path)


def test_what_cannot_be_read_tells_nothing_apart_and_breaks_nothing(tmp_path):
    def comma(index, dataset):
        dataset.add_new(0x00180060, "SH", "120,0")  # KVP, which should be a number

    assert read(write_series(tmp_path, modality="MR", edit=comma)).grid.shape == (8, 6, 5)


def item(sequence, **values):
    """A functional group of one frame."""
    inner, outer = Dataset(), Dataset()
    for name, value in values.items():
        setattr(inner, name, value)
    setattr(outer, sequence, [inner])
    return outer


@pytest.mark.parametrize(
    ("sequence", "name", "values", "words"),
    [
        (
            "CardiacSynchronizationSequence",
            "NominalPercentageOfCardiacPhase",
            (10.0, 60.0),
            "cardiac phase (%) 60",
        ),
        (
            "MRImageFrameTypeSequence",
            "ComplexImageComponent",
            ("MAGNITUDE", "PHASE"),
            "complex component PHASE",
        ),
        ("MRTimingAndRelatedParametersSequence", "FlipAngle", (5.0, 9.0), "flip angle 9"),
        ("UnassignedPerFrameConvertedAttributesSequence", "EchoTime", (5.0, 9.0), "echo time 9"),
        (
            "FrameContentSequence",
            "FrameAcquisitionDateTime",
            ("20200102101500", "20200102101600"),
            "time 2 of 2",
        ),
    ],
)
def test_frames_are_told_apart_by_their_functional_groups(tmp_path, sequence, name, values, words):
    def edit(dataset):
        for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            groups.PlanePositionSequence[0].ImagePositionPatient = position(index // 2)
            groups.update(item(sequence, **{name: values[index % 2]}))

    path = write_enhanced(tmp_path / "image.dcm", stored_values(6), modality="MR", edit=edit)
    found = labels(path)
    assert len(found) == 2
    assert found[1].endswith(words)
    assert "20200102" not in repr(find_series(path))
    assert read(path, stack=2).source.frames == (1, 3, 5)
