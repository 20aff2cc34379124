"""Finding the volumes to predict: series by their folder or file, NIfTI, and a reason for all else."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import MediaStorageDirectoryStorage, SecondaryCaptureImageStorage

from pyraseg.pipeline.datalist import find_images
from pyraseg.pipeline.datalist.sources.series import SeriesSource
from pyraseg.transforms.errors import ConfigError, DatalistError
from pyraseg.transforms.io.volumes import LoadVolume
from pyraseg.transforms.privacy import case_name
from tests.transforms.dicom.series_cases import write_enhanced, write_series


def series(folder: Path, number: int, **attributes) -> Path:
    def edit(_, dataset):
        dataset.SeriesInstanceUID = f"1.2.99.{number}"
        for name, value in attributes.items():
            setattr(dataset, name, value)

    return write_series(folder, edit=edit, first_uid=100 * number)


def nifti(path: Path, *, placed: bool = True, value: float = 1.0) -> Path:
    image = nibabel.Nifti1Image(np.full((5, 6, 7), value, np.float32), np.diag([-1.0, -1.0, 3.0, 1.0]))
    if not placed:
        image.set_sform(None, 0)
        image.set_qform(None, 0)
    nibabel.save(image, path)
    return path


def found(place) -> tuple[list[str], dict[str, str]]:
    images = find_images(place, kind="volume")
    root = Path(place) if Path(place).is_dir() else Path(place).parent
    names = [Path(item["image"]).relative_to(root).as_posix() for item in images.items]
    return names, dict(images.left_out)


def test_a_series_is_its_folder_and_an_enhanced_one_its_file_and_each_can_be_loaded(tmp_path: Path) -> None:
    series(tmp_path / "b" / "ct", 1)
    write_enhanced(tmp_path / "b" / "whole.dcm")
    nifti(tmp_path / "a.nii.gz")
    assert found(tmp_path) == (["a.nii.gz", "b/ct", "b/whole.dcm"], {})
    for item in find_images(tmp_path, kind="volume").items:
        assert LoadVolume()(item["image"], item["case"]).ndim == 4
        assert item["case"] == case_name(Path(item["image"]).relative_to(tmp_path).as_posix())


def test_a_series_in_several_folders_is_the_one_that_holds_them(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct" / "first", 1)
    files = sorted(folder.iterdir())
    (tmp_path / "ct" / "second").mkdir()
    files[0].rename(tmp_path / "ct" / "second" / files[0].name)
    assert found(tmp_path) == (["ct"], {})


def test_the_index_of_a_medium_is_passed_over_without_a_word(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct", 1)
    index = pydicom.dcmread(sorted(folder.iterdir())[0])
    index.SOPClassUID = index.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    del index.PixelData, index.Modality, index.SeriesInstanceUID
    index.save_as(folder / "DICOMDIR")
    assert found(tmp_path) == (["ct"], {})


@pytest.mark.parametrize("kind", ["LOCALIZER", "SCOUT", "TOPOGRAM"])
def test_two_series_in_one_folder_are_left_out_and_their_localizer_does_not_count(
    kind: str, tmp_path: Path
) -> None:
    for number in (1, 2):
        series(tmp_path / "mixed", number)
    series(tmp_path / "ct", 3)
    series(tmp_path / "ct" / "scout", 4, ImageType=["ORIGINAL", "PRIMARY", kind])
    names, left_out = found(tmp_path)
    assert names == ["ct"]
    assert {reason for name, reason in left_out.items() if "mixed" in name} == {
        "wanted a folder of one series, found a folder of 2 series"
    }
    assert {reason for name, reason in left_out.items() if "scout" in name} == {
        "no slice of CT, MR or PET: a localizer"
    }


def test_what_makes_no_volume_is_left_out_once_with_its_reason(
    tmp_path: Path, make_dicom, make_image
) -> None:
    series(tmp_path / "good", 1)
    gap = series(tmp_path / "gap", 2)
    sorted(gap.iterdir())[2].unlink()
    torn = series(tmp_path / "torn", 3)
    slices = sorted(torn.iterdir())
    slices[1].write_bytes(slices[1].read_bytes()[:300])
    nifti(tmp_path / "nan.nii", value=np.nan)
    nifti(tmp_path / "nowhere.nii", placed=False)
    make_dicom(tmp_path / "us.dcm", seed=1)
    make_image(tmp_path / "picture.png", seed=1)
    (tmp_path / "notes.txt").write_text("no image")
    names, left_out = found(tmp_path)
    assert names == ["good"]
    reasons = {name.partition("/")[0]: reason for name, reason in left_out.items()}
    assert set(reasons) == {"gap", "torn", "nan.nii", "nowhere.nii", "us.dcm", "picture.png", "notes.txt"}
    assert reasons["us.dcm"] == "no slice of CT, MR or PET: modality US"
    assert reasons["picture.png"] == "no slice of CT, MR or PET"
    assert "NaN" in reasons["nan.nii"]
    assert sum(name.startswith("gap") for name in left_out) == 1


def test_linked_folders_are_named_and_not_followed(tmp_path: Path) -> None:
    outside = series(tmp_path / "outside", 1)
    series(tmp_path / "in" / "ct", 2)
    (tmp_path / "in" / "link").symlink_to(outside)
    assert found(tmp_path / "in") == (["ct"], {"link": "a link that leads out of the folder"})


def test_a_datalist_without_series_says_what_was_passed_over(tmp_path: Path) -> None:
    series(tmp_path, 1, SOPClassUID=SecondaryCaptureImageStorage, ImagePositionPatient="")
    words = "0 series and 0 labels.*passed over: 5 x a secondary capture without position"
    with pytest.raises(DatalistError, match=words):
        SeriesSource(tmp_path).collect()


def test_a_place_may_be_one_series_a_file_or_a_glob(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct", 1)
    nifti(tmp_path / "b.nii")
    (item,) = find_images(folder, kind="volume").items
    assert (item["image"], item["case"]) == (str(folder), case_name("ct"))
    assert [each["image"] for each in find_images(tmp_path / "b.nii", kind="volume").items] == [
        str(tmp_path / "b.nii")
    ]
    assert found(f"{tmp_path}/*.nii")[0] == ["b.nii"]
    assert found(f"{tmp_path}/c*")[0] == ["ct"]


def test_a_place_without_volumes_and_an_unknown_kind_are_refused(tmp_path: Path, make_image) -> None:
    make_image(tmp_path / "picture.png", seed=1)
    with pytest.raises(DatalistError, match="CT, MR or PET series or NIfTI volumes"):
        find_images(tmp_path, kind="volume")
    with pytest.raises(ConfigError, match="volume"):
        find_images(tmp_path, kind="cine")


def test_of_the_real_series_those_are_found_whose_values_are_known(shared_data: Path) -> None:
    for name in ("ct", "pet"):
        (item,) = find_images(shared_data / "dicom" / name, kind="volume").items
        assert Path(item["image"]).is_dir()
    ((_, reason),) = find_images(shared_data / "dicom" / "ct", kind="volume").left_out
    assert "found US; " in reason  # its Rescale Type says "unspecified"
    assert """--reading "{'assume_hu': True}\"""" in reason
    taken = find_images(shared_data / "dicom" / "ct", kind="volume", reading={"assume_hu": True})
    assert len(taken.items) == 2
