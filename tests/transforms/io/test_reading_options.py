"""Reading options: what they may be, that every reader takes them and spells them in its remedies."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import LoadImage

from pyraseg.transforms.errors import ConfigError, GeometryError, InputError, Option
from pyraseg.transforms.io.dicom_reader import DicomReader
from pyraseg.transforms.io.reading_options import ReadingOptions
from pyraseg.transforms.io.volumes import LoadVolume, LoadVolumed, read_volume
from tests.transforms.dicom.series_cases import stored_values, write_series
from tests.transforms.volumes import OBLIQUE, write_nifti

ROOT = Path(__file__).resolve().parents[3]
CORONAL = (1.0, 0, 0, 0, 0, -1.0)


@pytest.fixture
def two_series(tmp_path) -> Path:
    """A folder of a series of two stacks, and of a CT whose Rescale Type says "unspecified"."""

    def other(_, dataset):
        dataset.SeriesInstanceUID, dataset.RescaleType = "1.2.9", "US"

    write_series(tmp_path / "a", stored_values(5))
    write_series(tmp_path / "b", stored_values(3), orientation=CORONAL, first_uid=200)
    write_series(tmp_path / "c", stored_values(4), first_uid=300, edit=other)
    return tmp_path


@pytest.mark.parametrize(
    "wrong",
    [
        {"stack": 0},
        {"stack": True},
        {"series": "1"},
        {"repair": "copies"},
        {"repair": ["copies", "all"]},
        {"repair": None},
        {"assume_hu": 1},
        {"nearest": "true"},
        {"stak": 1},
        ["copies"],
    ],
    ids=str,
)
def test_what_is_no_reading_option_is_refused(wrong):
    with pytest.raises(ConfigError):
        ReadingOptions.of(wrong)


def test_what_is_given_comes_back_from_plain_values():
    options = ReadingOptions(series=2, repair={"single_slice", "copies"}, crop=True)
    assert options.given == {"series": 2, "repair": ["copies", "single_slice"], "crop": True}
    assert ReadingOptions.of(options.given) == options
    assert ReadingOptions.of(None) == ReadingOptions.of({}) == ReadingOptions()
    assert ReadingOptions(stack=1).over(ReadingOptions(stack=2, crop=True)) == ReadingOptions(
        stack=1, crop=True
    )


@pytest.mark.parametrize(
    ("options", "slices"),
    [({"series": 1, "stack": 2}, 3), ({"series": 1, "stack": 1}, 5), ({"series": 2, "assume_hu": True}, 4)],
    ids=str,
)
def test_every_reader_takes_them(two_series, options, slices):
    shape = (8, 6, slices)
    assert read_volume(two_series, **options).array.shape == shape
    assert LoadVolumed("image", reading=options)({"image": str(two_series)})["image"].shape == (1, *shape)
    assert LoadImage(reader=DicomReader(**options))(str(two_series)).shape == (1, *shape)


def test_what_a_remedy_offers_can_be_given_to_the_transform_that_offers_it(two_series):
    """From the first refusal on, by the remedies alone."""
    reading: dict[str, object] = {}
    for name in ("series", "stack"):
        with pytest.raises(GeometryError) as refused:
            LoadVolume(reading)(str(two_series))
        assert refused.value.option is None
        offered = ast.literal_eval(re.search(r"reading=(\{.*?\}) \(", refused.value.remedy)[1])
        assert list(offered) == [name]
        assert f'--reading "{offered}"' in refused.value.remedy
        reading |= offered
    assert LoadVolume(reading)(str(two_series)).shape == (1, 8, 6, 5)


def test_an_option_that_would_not_help_is_not_offered(tmp_path):
    def flat(_, dataset):
        dataset.RescaleSlope = 0

    with pytest.raises(InputError) as refused:
        read_volume(write_series(tmp_path, edit=flat))
    assert refused.value.option is None


def test_an_error_keeps_its_option_on_its_way_between_processes():
    option = Option("take the first", "stack", 1)
    error = pickle.loads(pickle.dumps(InputError("one", found="two", remedy="Remove one.", option=option)))
    assert error.remedy == "Remove one, or take the first: stack=1."
    assert error.restated(spell=lambda each: f"--{each.name} {each.value}").remedy.endswith(": --stack 1.")
    assert error.restated(ConfigError, found="three", spell=lambda _: "").args == (
        "wanted one, found three. Remove one.",
    )


def test_no_message_spells_an_option_for_one_kind_of_user():
    """An `Option` is spelt where it is known who reads it."""
    spelt = re.compile(
        r"(?<![\w-])(series|stack|repair|assume_hu|nearest|crop)=|--(stack|repair|assume-hu)\b"
    )
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "transforms").rglob("*.py"))
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for statement in function.body[1 if ast.get_docstring(function) else 0 :]
        for node in ast.walk(statement)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and spelt.search(node.value)
    ]
    assert found == []


@pytest.mark.parametrize("flip", [False, True])
def test_labels_that_reach_beyond_the_image_are_cropped_where_that_is_asked_for(tmp_path, flip):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (9, 7, 6)).astype(np.uint8)
    stored, affine = labels, OBLIQUE
    if flip:  # the second axis the other way round
        moves = np.diag([1.0, -1.0, 1.0, 1.0])
        moves[1, 3] = labels.shape[1] - 1
        stored, affine = labels[:, ::-1], OBLIQUE @ moves
    inner = OBLIQUE.copy()
    inner[:3, 3] += OBLIQUE[:3, :3] @ [2, 1, 0]
    item = {
        "image": str(write_nifti(tmp_path / "image.nii.gz", np.zeros((6, 5, 4), np.float32), inner)),
        "label": str(write_nifti(tmp_path / "mask.nii.gz", stored, affine)),
    }
    cropped = LoadVolumed(["image", "label"], num_classes=2, reading={"crop": True})(item)["label"]
    assert np.array_equal(cropped[0], labels[2:8, 1:6, :4])
    with pytest.raises(GeometryError, match=r"that reach beyond it.*reading=\{'crop': True\}"):
        LoadVolumed(["image", "label"], num_classes=2)(item)


def test_labels_that_do_not_cover_the_image_are_not_cropped(tmp_path):
    beside = OBLIQUE.copy()
    beside[:3, 3] += OBLIQUE[:3, :3] @ [-1, 0, 0]
    item = {
        "image": str(write_nifti(tmp_path / "image.nii.gz", np.zeros((6, 5, 4), np.float32), beside)),
        "label": str(write_nifti(tmp_path / "mask.nii.gz", np.zeros((9, 7, 6), np.uint8), OBLIQUE)),
    }
    with pytest.raises(GeometryError, match="at another place") as refused:
        LoadVolumed(["image", "label"], num_classes=2, reading={"crop": True})(item)
    assert "crop" not in refused.value.remedy
