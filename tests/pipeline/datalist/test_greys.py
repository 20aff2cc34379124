"""What is black and white in frames is declared once in the datalist, and strange greys are named there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyraseg.pipeline.datalist import FolderSource, Grouping, build_datalist, find_images, load_datalist
from pyraseg.transforms.errors import DatalistError, InputError
from pyraseg.transforms.io.frames import LoadFramed
from pyraseg.transforms.io.reading_options import ReadingOptions

GREY = np.add.outer(np.arange(20), np.arange(30)) / 48  # 0 to 1
IMAGES = {
    "twelve bits": np.rint(GREY * 4095).astype(np.uint16),
    "ten bits": np.rint(GREY * 1023).astype(np.uint16),
    "sixteen bits": np.rint(GREY * 65535).astype(np.uint16),
    "bytes": np.rint(GREY * 255).astype(np.uint8),
    "dark": np.rint(GREY * 20).astype(np.uint8),
    "flat": np.full(GREY.shape, 90, np.uint8),
    "white": np.clip(GREY * 2000, 0, 255).astype(np.uint8),
}


def write_set(root: Path, *kinds: str) -> FolderSource:
    """Three patients of each kind."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for name in (f"{kind} {n}.png" for kind in kinds for n in range(3)):
        Image.fromarray(IMAGES[name[:-6]]).save(root / "images" / name)
        Image.fromarray((GREY > 0.5).astype(np.uint8)).save(root / "masks" / name)
    return FolderSource(root / "images", root / "masks", Grouping(source="file"))


def build(source: FolderSource, root: Path, **more):
    return build_datalist(source, root / "d.json", label_map=["1=kidney"], find_duplicates=False, **more)


@pytest.mark.parametrize(("kind", "white"), [("twelve bits", 4095), ("ten bits", 1023)])
def test_frames_of_fewer_bits_than_they_are_stored_in_are_left_out_until_it_is_declared(
    tmp_path, kind, white
):
    source = write_set(tmp_path, kind, "bytes", "sixteen bits")
    left_out = build(source, tmp_path).left_out
    assert [path for path, _ in left_out] == [f"images/{kind} {n}.png" for n in range(3)]
    assert all(f"--value-range 0 {white}" in reason for _, reason in left_out)
    assert len({reason for _, reason in left_out}) == 1
    (again := tmp_path / "again").mkdir()
    declared = ReadingOptions(value_range=(0, white))
    assert build(write_set(again, kind), again, reading=declared).left_out == ()
    data = load_datalist(again / "d.json", split="training")
    image = LoadFramed("image", reading=data.reading)(data.training[0])["image"]
    assert image.meta["display_max"] == image.max() == white


def test_another_range_than_the_datalist_s_is_refused(tmp_path):
    build(write_set(tmp_path, "twelve bits"), tmp_path, reading=ReadingOptions(value_range=(0, 4095)))
    options = {"split": "training", "reading": {"value_range": [0, 4095]}}
    assert load_datalist(tmp_path / "d.json", **options).reading.given
    with pytest.raises(DatalistError, match=r"value_range: \[0, 4095\], found \[0, 1023\]"):
        load_datalist(tmp_path / "d.json", reading={"value_range": [0, 1023]})


def test_images_that_are_nearly_black_constant_or_clipped_are_noted_in_the_report(tmp_path):
    report = build(write_set(tmp_path, "bytes", "dark", "flat", "white"), tmp_path)
    notes = {path.split("/")[1][:-6]: note for path, note in report.noted}
    assert notes == {
        kind: f"the image is {fault}"
        for kind, fault in (("dark", "nearly black"), ("flat", "constant"), ("white", "clipped"))
    }
    assert any("3 x the image is nearly black" in line for line in report.lines())


def test_an_image_whose_pixels_are_cut_off_is_left_out(tmp_path):
    source = write_set(tmp_path, "bytes", "sixteen bits")
    cut = tmp_path / "images" / "bytes 0.png"
    cut.write_bytes(cut.read_bytes()[:-60])
    assert [path for path, _ in build(source, tmp_path).left_out] == ["images/bytes 0.png"]


def test_a_folder_of_images_leaves_out_what_does_not_say_what_is_white(tmp_path):
    write_set(tmp_path, "twelve bits", "bytes")
    found = find_images(tmp_path / "images")
    assert len(found.items) == len(found.left_out) == 3
    assert all("reading={'value_range': [0, 4095]}" in reason for _, reason in found.left_out)
    assert find_images(tmp_path / "images", reading={"value_range": [0, 4095]}).left_out == ()
    with pytest.raises(InputError, match="value_range"):
        LoadFramed("image")({"image": str(tmp_path / "images" / "twelve bits 0.png")})
