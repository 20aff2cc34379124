"""MONAI's LoadImage reads a series through DicomReader as a volume with its affine, and refuses what is
ambiguous."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage, LoadImaged, Orientation

from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import GeometryError, InputError
from pyraseg.transforms.io.dicom_reader import DicomReader
from tests.transforms.dicom.series_cases import oblique, stored_values, write_enhanced, write_series

EXPECTED = stored_values().transpose(2, 1, 0) - 1024


def test_a_folder_its_files_and_an_enhanced_file_are_one_volume(tmp_path):
    folder = write_series(tmp_path / "classic", orientation=oblique())
    path = write_enhanced(tmp_path / "enhanced.dcm", orientation=oblique())
    grid = read_series(the_series(find_series(folder))).grid
    load = LoadImage(reader=DicomReader)
    for source in (str(folder), sorted(folder.iterdir()), str(path)):
        image = load(source)
        assert isinstance(image, MetaTensor)
        assert (tuple(image.shape), image.dtype) == ((1, 8, 6, 5), torch.float32)
        np.testing.assert_array_equal(image[0].numpy(), EXPECTED)
        np.testing.assert_allclose(image.affine.numpy(), grid.affine, atol=1e-6)
        assert (image.meta["unit"], image.meta["modality"]) == ("HU", "CT")
        assert image.meta["spacing_mm"] == pytest.approx([0.75, 1.5, 2.5])
        assert "SENTINEL" not in repr(
            {key: value for key, value in image.meta.items() if key != "filename_or_obj"}
        )


def test_monai_turns_the_volume_by_its_affine(tmp_path):
    image = LoadImage(reader=DicomReader)(str(write_series(tmp_path)))
    turned = Orientation("RAS")(image)
    np.testing.assert_array_equal(turned[0].numpy(), EXPECTED[::-1, ::-1])


def test_whole_numbers_stay_whole(tmp_path):
    image = LoadImage(reader=DicomReader, dtype=None)(str(write_series(tmp_path)))
    assert image.dtype == torch.int16


@pytest.mark.parametrize(
    "reader", [DicomReader, "pyraseg.transforms.io.dicom_reader.DicomReader"], ids=["class", "name"]
)
def test_what_is_ambiguous_is_read_by_no_other_reader(tmp_path, reader):
    write_series(tmp_path, stored_values(6))
    next(tmp_path.glob("*_2.dcm")).unlink()
    with pytest.raises(GeometryError, match="1 missing"):
        LoadImage(reader=reader)(str(tmp_path))


def test_the_readers_options_reach_the_series(tmp_path):
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", stored_values(3), orientation=(1.0, 0, 0, 0, 0, -1.0), first_uid=200)
    load = LoadImaged("image", reader="pyraseg.transforms.io.dicom_reader.DicomReader", stack=2)
    assert tuple(load({"image": str(tmp_path)})["image"].shape) == (1, 8, 6, 3)


def test_a_single_slice_stays_no_picture(tmp_path):
    path = next(write_series(tmp_path).iterdir())
    with pytest.raises(InputError, match="modality CT"):
        LoadImage(reader=DicomReader)(str(path))


def test_a_folder_is_known_by_what_it_holds(tmp_path):
    write_series(tmp_path / "series")
    (tmp_path / "empty").mkdir()
    reader = DicomReader()
    assert reader.verify_suffix(str(tmp_path / "series"))
    assert not reader.verify_suffix(str(tmp_path / "empty"))
