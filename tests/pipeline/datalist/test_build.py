"""From a table or folders to a datalist: what is split, what is checked, what is left out and said."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import ExifTags, Image

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.datalist import (
    DatalistReport,
    FolderSource,
    Grouping,
    TableSource,
    build_datalist,
    load_datalist,
)
from pyraseg.pipeline.datalist.groups import group_name
from pyraseg.transforms.errors import DatalistError, LabelError
from pyraseg.transforms.io.frames import LoadFrame, LoadFramed
from pyraseg.transforms.privacy import case_name
from tests.pipeline.datalist.conftest import SIZES

FLUID = ["255=hydronephrosis"]
THREE_WAYS = (0.6, 0.2, 0.2)


@pytest.fixture
def source(table: Path) -> TableSource:
    return TableSource(table, label="mask", group="patient", category="kind")


def built(source: TableSource | FolderSource, **options) -> DatalistReport:
    output = options.pop(
        "output", Path(source.table if isinstance(source, TableSource) else source.images).parent / "d.json"
    )
    return build_datalist(source, output, **{"label_map": FLUID, "fractions": THREE_WAYS} | options)


def reasons(report: DatalistReport) -> dict[str, str]:
    return dict(report.left_out)


def folders(root: Path, **grouping: str) -> FolderSource:
    return FolderSource(root / "images", root / "masks", Grouping(**(grouping or {"source": "file"})))


def test_every_row_is_in_one_split_and_no_patient_in_two(source: TableSource) -> None:
    report = built(source)
    datalist = load_datalist(report.path)
    places = defaultdict(set)
    for split in ("training", "validation", "test"):
        for item in datalist.items(split):
            places[Path(item["image"]).name[:3]].add(split)
    with Path(source.table).open() as file:
        rows = list(csv.DictReader(file))
    assert sum(report.counts.values()) == len(rows) == len({item["case"] for item in _all(datalist)})
    assert set(places) == {row["patient"] for row in rows}
    assert all(len(splits) == 1 for splits in places.values())


def _all(datalist) -> list[dict]:
    return [*datalist.training, *datalist.validation, *datalist.test]


def test_the_splits_are_balanced_by_frames_and_by_class(source: TableSource) -> None:
    report = built(source)
    total = sum(report.counts.values())
    fluid = sum(split.frames_by_class["hydronephrosis"] for split in report.splits)
    for split, share in zip(report.splits, THREE_WAYS, strict=True):
        assert split.items / total == pytest.approx(share, abs=0.05)
        assert split.frames_by_class["hydronephrosis"] / fluid == pytest.approx(share, abs=0.08)
        assert split.categories["abnormal"] == split.frames_by_class["hydronephrosis"]


def test_the_report_agrees_with_the_file(source: TableSource) -> None:
    report = built(source)
    datalist = load_datalist(report.path)
    assert report.digest == datalist.digest
    for split in report.splits:
        items = datalist.items(split.name)
        assert split.items == len(items)
        assert split.groups == len({item["group"] for item in items})
        assert dict(split.categories) == dict(Counter(item["class"] for item in items))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_split(
    source: TableSource, tmp_path: Path
) -> None:
    one, two = (built(source, seed=4, output=tmp_path / f"{n}.json").path.read_bytes() for n in (1, 2))
    assert one == two
    assert len({built(source, seed=seed).digest for seed in range(6)}) > 1


def test_groups_are_hashed_in_the_file_unless_they_are_kept(source: TableSource) -> None:
    report = built(source)
    text = report.path.read_text()
    assert group_name("p00") in text
    assert '"p00"' not in text
    assert report.largest_groups[0][:2] == ("p00", 17)  # the terminal shows what the person knows
    assert '"group": "p00"' in built(source, keep_groups=True).path.read_text()


def test_folds_stand_on_the_training_items_and_share_no_group(source: TableSource) -> None:
    report = built(source, folds=3, fractions=(0.6, 0.2, 0.2))
    assert list(report.counts) == ["fold 0", "fold 1", "fold 2", "test"]
    content = json.loads(report.path.read_text())
    assert {item["fold"] for item in content["training"]} == {0, 1, 2}
    held_out = [
        load_datalist(report.path, split=("training", "validation"), fold=k).validation for k in range(3)
    ]
    assert sorted(item["case"] for fold in held_out for item in fold) == sorted(
        i["case"] for i in content["training"]
    )


def test_what_does_not_fit_is_left_out_with_its_reason(source: TableSource, make_image) -> None:
    root = Path(source.table).parent
    make_image(root / "masks/p00_000.png", rows=6, columns=8)
    make_image(root / "masks/p00_001.png", values=(0, 255, 7))
    (root / "masks/p00_002.png").unlink()
    (root / "images/p00_003.png").write_bytes(b"not an image")
    Image.new("RGB", (9, 6)).save(root / "masks/p00_004.png")
    (root / "masks/p00_005.png").write_bytes((root / "masks/p00_006.png").read_bytes()[:45])
    report = built(source)
    found = reasons(report)
    assert found["images/p00_000.png"] == "image of 6x9 pixels, mask of 6x8 (rows x columns)"
    assert found["images/p00_001.png"] == "mask value 7 is not declared"
    assert found["images/p00_002.png"] == "no such mask file"
    assert found["images/p00_003.png"].startswith("image: a damaged or another kind of file")
    assert found["images/p00_004.png"] == "mask: a colour mask (RGB)"
    assert found["images/p00_005.png"].startswith("mask: a damaged or another kind of file")
    assert len(found) == 6
    assert any(line == "left out: 6" for line in report.lines())
    with pytest.raises(DatalistError, match="6 left out"):
        built(source, strict=True)


@pytest.mark.parametrize("declared", ["255=fluid", "1=fluid"])
def test_the_reader_finds_no_value_in_a_one_bit_mask_that_the_map_lacks(
    source: TableSource, declared: str
) -> None:
    for path in (Path(source.table).parent / "masks").iterdir():
        Image.open(path).convert("1").save(path)
    report = built(source, label_map=[declared])
    datalist = load_datalist(report.path)
    load = LoadFrame(as_labels=True)
    assert report.left_out == ()
    classes = {
        datalist.label_map[int(value)] for item in _all(datalist) for value in load(item["label"]).unique()
    }
    assert classes == {0, 1}
    assert sum(split.frames_by_class["fluid"] for split in report.splits) == 25


def test_an_eight_bit_mask_gets_no_second_value(source: TableSource) -> None:
    assert load_datalist(built(source).path).label_map == {0: 0, 255: 1}


def test_one_file_in_two_groups_is_a_leak_and_in_one_group_is_none(source: TableSource) -> None:
    images = Path(source.table).parent / "images"
    shutil.copy(images / "p00_000.png", images / "p00_001.png")
    built(source)
    shutil.copy(images / "p00_000.png", images / "p01_000.png")
    with pytest.raises(DatalistError, match=r"the same image in 2 groups, g\w{12} and g\w{12}") as caught:
        built(source)
    assert "p01_000.png" in str(caught.value.path)
    assert built(source, find_duplicates=False).counts


def test_a_table_without_the_column_is_refused_with_the_nearest_name(source: TableSource) -> None:
    with pytest.raises(DatalistError, match='Did you mean "patient"'):
        built(dataclasses.replace(source, group="patients"))


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatalistError, match="no such file"):
        built(TableSource(tmp_path / "frames.csv"))


def test_paths_outside_the_tables_folder_are_left_out(source: TableSource) -> None:
    with Path(source.table).open("a") as file:
        file.write("../elsewhere.png,masks/p00_000.png,p00,normal\n")
    assert reasons(built(source)) == {"../elsewhere.png": "the image lies outside the table's folder"}


def test_masks_without_names_are_refused_with_the_option_that_names_them(source: TableSource) -> None:
    with pytest.raises(LabelError, match="--label-map 255=NAME"):
        built(source, label_map=None)


def test_nothing_is_written_where_the_split_is_refused(source: TableSource, tmp_path: Path) -> None:
    with pytest.raises(DatalistError):
        built(source, folds=40, output=tmp_path / "new" / "d.json")
    assert not (tmp_path / "new").exists()


def test_folders_are_matched_by_stem_and_grouped_by_a_pattern(table: Path) -> None:
    report = built(folders(table.parent, pattern=r"images/(p\d+)_"))
    from_table = built(TableSource(table, label="mask", group="patient"), output=table.parent / "t.json")
    assert load_datalist(report.path).digest == load_datalist(from_table.path).digest


@pytest.mark.parametrize("pattern", [r"images/(?P<group>p\d+)_", r"p\d+(?=_)"])
def test_a_pattern_names_the_group_by_name_or_by_its_whole_match(table: Path, pattern: str) -> None:
    assert (
        built(folders(table.parent, pattern=pattern)).largest_groups[0]
        == built(folders(table.parent, pattern=r"(p\d+)_")).largest_groups[0]
    )


def test_the_parent_folder_can_be_the_group(tmp_path: Path, make_image) -> None:
    for group in range(4):
        for frame in range(group + 1):
            make_image(tmp_path / f"images/s{group}/{frame}.png", seed=1 + 10 * group + frame)
            make_image(tmp_path / f"masks/s{group}/{frame}.png", values=(0, 255))
    report = built(folders(tmp_path, source="parent"))
    assert report.largest_groups[0][:2] == ("images/s3", 4)
    assert sum(split.groups for split in report.splits) == 4


def test_the_patient_id_can_be_the_group_and_is_never_shown(tmp_path: Path, make_dicom, make_image) -> None:
    for number, patient in enumerate(["DOE^1", "DOE^1", "DOE^2", "doe^02", ""]):
        make_dicom(tmp_path / f"images/{number}.dcm", patient=patient, seed=number)
        make_image(tmp_path / f"masks/{number}.png", values=(0, 255))
    report = built(folders(tmp_path, source="patient_id"), keep_groups=True)
    assert sum(split.groups for split in report.splits) == 3
    assert reasons(report) == {"images/4.dcm": "no PatientID that can be read"}
    text = report.path.read_text() + "\n".join(report.lines())
    assert "doe" not in text.casefold()
    assert "only: " + ", ".join(map(group_name, ["DOE^2", "doe^02"])) in text


def test_how_to_group_is_never_guessed(table: Path) -> None:
    with pytest.raises(DatalistError, match="--group-pattern"):
        built(FolderSource(table.parent / "images", table.parent / "masks", Grouping()))


def test_two_files_with_one_stem_are_ambiguous_and_listed(table: Path, make_image) -> None:
    make_image(table.parent / "images/p00_000.bmp", seed=3)
    with pytest.raises(DatalistError, match="2 files that share") as caught:
        built(folders(table.parent))
    assert "p00_000.bmp" in str(caught.value.path)


def test_images_without_a_mask_and_masks_without_an_image_are_left_out(table: Path, make_image) -> None:
    make_image(table.parent / "images/alone.png", seed=3)
    make_image(table.parent / "masks/lonely.png", values=(0, 255))
    assert reasons(built(folders(table.parent))) == {
        "images/alone.png": "no mask",
        "masks/lonely.png": "no image",
    }


def test_masks_may_lie_beside_the_images_with_a_suffix(tmp_path: Path, make_image) -> None:
    for number in range(4):
        make_image(tmp_path / f"all/{number}.png", seed=1 + number)
        make_image(tmp_path / f"all/{number}_mask.png", values=(0, 255))
    report = built(
        FolderSource(tmp_path / "all", tmp_path / "all", Grouping(source="file"), label_suffix="_mask")
    )
    assert sum(report.counts.values()) == 4
    assert report.left_out == ()


def test_a_mask_a_frame_makes_an_item_a_frame(tmp_path: Path, make_dicom, make_image) -> None:
    for case in range(3):
        make_dicom(tmp_path / f"images/case_{case}.dcm", frames=4, seed=case)
        for frame in (0, 2):
            make_image(tmp_path / f"masks/case_{case}_f{frame:03d}.png", values=(0, 255))
    make_image(tmp_path / "masks/case_0_f009.png", values=(0, 255))
    report = built(folders(tmp_path))
    items = _all(load_datalist(report.path))
    assert (
        sorted(f"frame_index={item['image'].frame_index}" for item in items)
        == ["frame_index=0"] * 3 + ["frame_index=2"] * 3
    )
    assert len({item["group"] for item in items}) == 3
    assert reasons(report) == {"images/case_0.dcm": "a mask for frame 9 (from 0) of 4"}
    assert case_name("images/case_0.dcm#frame_index=2") in {item["case"] for item in items}


def test_a_name_that_reads_like_a_frame_of_another_file_is_left_out(
    tmp_path: Path, make_dicom, make_image
) -> None:
    for case in range(4):
        make_dicom(tmp_path / f"images/case_{case}.dcm", frames=2, seed=case)
        make_image(tmp_path / f"masks/case_{case}_f000.png", values=(0, 255))
    make_dicom(tmp_path / "images/case_0.dcm#frame_index=0", seed=9)
    make_dicom(tmp_path / "masks/case_0.dcm#frame_index=0", pixels=np.zeros((6, 9), np.uint8))
    report = built(folders(tmp_path))
    refused = {name for name, reason in reasons(report).items() if "one that has such a frame" in reason}
    assert refused == {"images/case_0.dcm", "images/case_0.dcm#frame_index=0"}
    assert sum(report.counts.values()) == 3


def test_a_dicom_mask_with_as_many_frames_as_the_cine_makes_an_item_a_frame(
    tmp_path: Path, make_dicom
) -> None:
    for case in range(3):
        mask = np.zeros((4, 6, 9), np.uint8)
        mask[1, 2:4, 1:3] = 255
        make_dicom(tmp_path / f"images/{case}.dcm", frames=4, seed=case)
        make_dicom(tmp_path / f"masks/{case}.dcm", frames=4, pixels=mask)
    report = built(folders(tmp_path))
    assert sum(report.counts.values()) == 12
    assert sum(split.frames_by_class["hydronephrosis"] for split in report.splits) == 3
    item = load_datalist(report.path).test[1]
    assert str(item["image"]).endswith("#frame_index=1")
    loaded = LoadFramed(("image", "label"))(item)
    assert loaded["image"].shape == loaded["label"].shape == (1, 6, 9)
    assert loaded["label"].max() == 255


def test_a_nifti_mask_of_several_frames_is_left_out_because_no_reader_takes_its_frames(
    tmp_path: Path, make_dicom
) -> None:
    (tmp_path / "masks").mkdir()
    make_dicom(tmp_path / "images/a.dcm", frames=4)
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 6, 4), np.uint8), np.eye(4)), tmp_path / "masks/a.nii.gz")
    with pytest.raises(DatalistError, match="write one a frame, STEM_f000"):
        built(folders(tmp_path))


def test_a_volume_stays_one_item(tmp_path: Path) -> None:
    for case in range(3):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            volume = nibabel.Nifti1Image(
                np.full((9, 6, 4), 255 if case else 0, np.uint8), np.diag([1, 1, 2 + case, 1])
            )
            nibabel.save(volume, tmp_path / folder / f"{case}.nii.gz")
    assert sum(built(folders(tmp_path)).counts.values()) == 3


def test_a_picture_that_is_turned_upright_is_measured_upright(tmp_path: Path, make_image) -> None:
    for case in range(3):
        make_image(tmp_path / f"images/{case}.jpg", rows=9, columns=6, seed=case + 1)
        make_image(
            tmp_path / f"masks/{case}.png",
            rows=6 if case == 0 else 9,
            columns=9 if case == 0 else 6,
            values=(0, 255),
        )
    turned = Image.open(tmp_path / "images/0.jpg")
    exif = turned.getexif()
    exif[ExifTags.Base.Orientation] = 6
    turned.save(tmp_path / "images/0.jpg", exif=exif)
    report = built(folders(tmp_path))
    assert report.left_out == ()
    first = next(item for item in _all(load_datalist(report.path)) if item["image"].endswith("0.jpg"))
    assert LoadFrame()(first["image"]).shape == (1, 6, 9)


def test_one_mask_for_a_whole_cine_is_left_out(tmp_path: Path, make_dicom, make_image) -> None:
    for case in range(4):
        make_dicom(tmp_path / f"images/{case}.dcm", frames=3 if case == 0 else 1, seed=case)
        make_image(tmp_path / f"masks/{case}.png", values=(0, 255))
    assert "STEM_f000" in reasons(built(folders(tmp_path)))["images/0.dcm"]


def test_a_nifti_frame_has_its_rows_in_the_second_number(tmp_path: Path, make_image) -> None:
    (tmp_path / "images").mkdir()
    for case in range(3):
        data = np.full((9, 6), case, np.uint8)
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / f"images/{case}.nii.gz")
        make_image(tmp_path / f"masks/{case}.png", rows=6, columns=9, values=(0, 255))
    assert built(folders(tmp_path)).left_out == ()


def test_a_class_that_no_frame_holds_is_warned_of(source: TableSource) -> None:
    lines = built(source, label_map=["255=fluid,7=stone"]).lines()
    assert "warning: nothing with stone in training, validation, test" in lines
    assert not any("no frame with fluid" in line for line in lines)


def test_training_says_before_it_begins_which_class_a_split_lacks(source: TableSource, caplog) -> None:
    path = built(source, label_map=["255=fluid,7=stone"], fractions=(0.5, 0, 0.5)).path
    load_datalist(path, split="training")
    assert "No image of training shows stone" in caplog.text
    assert "shows fluid" not in caplog.text
    caplog.clear()
    path = built(source, label_map=["255=fluid,7=stone"], folds=3, fractions=(1, 0, 0)).path
    load_datalist(path, split=("training", "validation"), fold=1)
    assert [text for text in ("training", "validation") if f"{text} shows stone" in caplog.text] == [
        "training",
        "validation",
    ]


@pytest.mark.parametrize(("fractions", "only"), [((0, 0, 1), "test"), ((0, 1, 0), "validation")])
def test_a_list_may_be_one_split_and_nothing_else(source: TableSource, fractions, only: str) -> None:
    report = built(source, fractions=fractions)
    assert report.counts == {only: sum(SIZES)}
    assert len(load_datalist(report.path, split=only).items(only)) == sum(SIZES)
    with pytest.raises(DatalistError, match="items in training"):
        load_datalist(report.path, split="training")


def test_folds_need_more_than_a_test_set(source: TableSource) -> None:
    with pytest.raises(DatalistError, match="a part to divide into folds"):
        built(source, fractions=(0, 0, 1), folds=3)


def test_groups_that_look_like_one_and_splits_of_few_are_pointed_out(source: TableSource) -> None:
    table = Path(source.table)
    table.write_text(table.read_text().replace(",p12,", ",1,").replace(",p11,", ",001,"))
    lines = "\n".join(built(source).lines())
    assert "leading zeros or separators only: 001, 1" in lines
    assert "groups (patients), too few to speak for others" in lines


def test_the_command_writes_the_datalist_and_says_what_it_did(table: Path, capsys) -> None:
    output = table.parent / "datalist.json"
    words = (
        f"datalist --table {table} --label mask --group patient --class kind --label-map 255=fluid --seed 3"
    )
    assert main([*words.split(), "--fractions", "0.6", "0.2", "0.2", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert load_datalist(output).seed == 3
    assert "p00  17" in said
    assert "with fluid" in said
    assert "left out: 0" in said


def test_the_command_refuses_in_one_sentence(table: Path, capsys) -> None:
    words = f"datalist --images {table.parent}/images --label-map 255=fluid --output {table.parent}/d.json"
    assert main(words.split()) == 1
    assert "wanted a table, or a folder of images and one of masks" in capsys.readouterr().err
