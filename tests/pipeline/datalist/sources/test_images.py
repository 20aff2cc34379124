"""Finding the images to predict and to pretrain on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from pyraseg.pipeline.datalist import find_images, unlabelled_frames
from pyraseg.transforms.dicom.pixels.decode import CineReader
from pyraseg.transforms.errors import DatalistError
from pyraseg.transforms.io.frames import LoadFrame
from pyraseg.transforms.privacy import case_name


@pytest.fixture
def folder(tmp_path: Path, make_dicom, make_image) -> Path:
    make_dicom(tmp_path / "a" / "IM0001", seed=1)  # no suffix, as scanners write them
    make_dicom(tmp_path / "a" / "deep" / "cine.dcm", frames=3)
    make_image(tmp_path / "b.png", seed=1)
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 6), np.uint8), np.eye(4)), tmp_path / "c.nii.gz")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def names(items: Sequence[dict], root: Path) -> list[str]:
    return [str(item["image"]).removeprefix(f"{root}/") for item in items]


def test_a_folder_is_searched_to_its_depth_and_each_frame_of_a_cine_is_an_item(folder: Path) -> None:
    items = find_images(folder).items
    assert names(items, folder) == [
        "a/IM0001",
        *(f"a/deep/cine.dcm#frame_index={n}" for n in range(3)),
        "b.png",
        "c.nii.gz",
    ]
    assert items[3]["case"] == case_name("a/deep/cine.dcm#frame_index=2")


def test_a_file_whose_name_reads_like_a_frame_of_another_is_itself(folder: Path) -> None:
    cine, image = folder / "a/deep/cine.dcm", folder / "a/IM0001"
    image.rename(twin := cine.with_name("cine.dcm#frame_index=2"))
    items = [item for item in find_images(folder).items if "cine.dcm" in str(item["image"])]
    assert len({item["case"] for item in items}) == 4
    shown = [np.asarray(LoadFrame()(item["image"])) for item in items]
    for index in range(3):
        np.testing.assert_array_equal(shown[index], CineReader(cine).frame(index))
    np.testing.assert_array_equal(shown[3], CineReader(twin).frame(0))


def test_what_is_no_image_is_named_with_a_reason(folder: Path) -> None:
    assert dict(find_images(folder).left_out) == {
        "broken.png": "a damaged or another kind of file (UnidentifiedImageError)",
        "notes.txt": "a file without the DICM prefix",
    }


def test_a_copy_of_an_object_and_a_link_out_of_the_folder_are_left_out(
    folder: Path, tmp_path_factory
) -> None:
    (folder / "copy.dcm").write_bytes((folder / "a/IM0001").read_bytes())
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "d.png"
    elsewhere.write_bytes((folder / "b.png").read_bytes())
    (folder / "link.png").symlink_to(elsewhere)
    left_out = dict(find_images(folder).left_out)
    assert left_out["copy.dcm"] == "the image of an earlier file again"
    assert left_out["link.png"] == "a link that leads out of the folder"


def test_a_file_and_a_glob_are_places_too(folder: Path) -> None:
    assert names(find_images(folder / "b.png").items, folder) == ["b.png"]
    assert names(find_images(f"{folder}/**/*.dcm").items, folder) == [
        f"a/deep/cine.dcm#frame_index={n}" for n in range(3)
    ]


def test_a_case_keeps_its_name_by_folder_and_by_glob(folder: Path) -> None:
    by_folder = {item["image"]: item["case"] for item in find_images(folder).items}
    assert all(by_folder[item["image"]] == item["case"] for item in find_images(f"{folder}/**/*.dcm").items)


@pytest.mark.parametrize("place", ["", "nowhere", "*.jpg"])
def test_a_place_without_images_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(DatalistError, match="DICOM, NIfTI, PNG or JPEG images"):
        find_images(tmp_path / place)


def test_every_real_ultrasound_file_is_found_or_is_a_second_file_of_one_object(shared_data: Path) -> None:
    folder = shared_data / "dicom" / "us"
    found = find_images(folder)
    files = {str(item["image"]).partition("#")[0] for item in found.items}
    assert {reason for _, reason in found.left_out} <= {
        "different images under one UID",
        "the image of an earlier file again",
    }
    assert len(files) + len(found.left_out) == 14
    assert all(find_images(folder / name).items for name, _ in found.left_out)


class TestUnlabelledFrames:
    @pytest.fixture
    def folder(self, tmp_path):
        for group in "abcd":
            for number in range(2):
                Image.fromarray(np.full((8, 8), 50, np.uint8)).save(tmp_path / f"{group}{number}.png")
        return tmp_path

    def datalist(self, folder, *, folds=False, name="datalist.json"):
        def items(group, **more):
            files = [f"{group}{number}.png" for number in range(2)]
            return [
                {"image": f, "label": f, "group": f"g{group}", "case": f"c{f[:2]}", **more} for f in files
            ]

        splits = {"training": items("a") + items("b"), "validation": items("c"), "test": items("d")}
        if folds:
            splits = {"training": items("a", fold=0) + items("b", fold=1), "test": items("d")}
        content = {**splits, "keep_names": True, "label_names": ["background", "kidney"]}
        (folder / name).write_text(json.dumps(content))
        return folder / name

    def names(self, frames):
        return sorted(item["image"].rsplit("/", 1)[1] for item in frames)

    def test_a_folder_without_a_datalist_gives_every_frame_and_no_label(self, folder):
        frames = unlabelled_frames(folder)
        assert len(frames) == 8
        assert {frozenset(item) for item in frames} == {frozenset({"image", "case", "group"})}
        assert len({item["group"] for item in frames}) == 8

    @pytest.mark.parametrize("name", ["datalist.json", "other.json"])
    def test_validation_and_test_groups_never_enter(self, folder, name):
        file = self.datalist(folder, name=name)
        frames = unlabelled_frames(folder, datalist=None if name == "datalist.json" else file)
        assert self.names(frames) == ["a0.png", "a1.png", "b0.png", "b1.png"]
        assert {item["group"] for item in frames} == {"ga", "gb"}
        assert all("label" not in item for item in frames)

    def test_of_a_datalist_in_folds_the_chosen_one_is_left_out(self, folder):
        self.datalist(folder, folds=True)
        assert self.names(unlabelled_frames(folder, fold=1)) == ["a0.png", "a1.png"]
        with pytest.raises(DatalistError, match="--fold"):
            unlabelled_frames(folder)

    def test_a_folder_of_nothing_is_refused(self, tmp_path):
        with pytest.raises(DatalistError, match="images"):
            unlabelled_frames(tmp_path)


def test_a_datalist_is_a_place_too_and_its_test_split_is_taken(folder: Path, tmp_path_factory) -> None:
    content = {"label_names": ["background", "kidney"], "test": ["./b.png", str(folder / "c.nii.gz")]}
    content["training"] = [{"image": "a/IM0001", "label": "b.png"}]
    (folder / "dataset.json").write_text(json.dumps(content))
    assert names(find_images(folder / "dataset.json").items, folder) == ["b.png", "c.nii.gz"]
    elsewhere = tmp_path_factory.mktemp("lists") / "dataset.json"
    content["test"] = [str(folder / "b.png")]
    elsewhere.write_text(json.dumps(content))
    assert names(find_images(elsewhere).items, folder) == ["b.png"]
