"""Datalists of volumes: NIfTI beside its mask, series with what refers to them; what does not fit is left
out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.datalist import (
    FolderSource,
    Grouping,
    SeriesSource,
    TableSource,
    build_datalist,
    load_datalist,
)
from pyraseg.pipeline.datalist.groups import group_name
from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_source_series
from pyraseg.transforms.errors import DatalistError
from pyraseg.transforms.io.volumes import LoadVolumed
from tests.transforms.dicom.label_cases import contour, write_structures
from tests.transforms.dicom.series_cases import write_enhanced, write_series

SHAPE = (7, 6, 5)
AFFINE = np.array([[-1.5, 0, 0, 40], [0, -1.5, 0, 7], [0, 0, 3, -200], [0, 0, 0, 1.0]])
SQUARE = [(1, 1), (1, 3), (4, 3), (4, 1)]
TUMOUR = ["1=tumour"]
ONE, THREE_WAYS = (1, 0, 0), (0.6, 0.2, 0.2)


def write_nifti(
    path: Path, values: np.ndarray | None = None, *, affine: np.ndarray | None = AFFINE, seed: int = 1
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if values is None:
        values = np.random.default_rng(seed).normal(0, 100, SHAPE).astype(np.float32)
    image = nibabel.Nifti1Image(values, affine)
    if affine is None:
        image.set_sform(None, 0)
        image.set_qform(None, 0)
    nibabel.save(image, path)
    return path


def mask(*values: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:4, 2:4, 2] = 1
    for value in values:
        labels[0, 0, value % SHAPE[2]] = value
    return labels


def beside(root: Path, **options) -> FolderSource:
    return FolderSource(
        root, root, Grouping(source="stem"), image_suffix="_image", label_suffix="_mask", **options
    )


@pytest.fixture
def modalities(tmp_path: Path) -> Path:
    """Patients P0 to P5 in ct, P0, P2 and P4 in pet, NAME_image.nii.gz beside NAME_mask.nii.gz."""
    for number in range(6):
        for modality in ("ct", "pet")[: 2 - number % 2]:
            write_nifti(
                tmp_path / modality / f"P{number}_image.nii.gz", seed=number + 10 * (modality == "pet")
            )
            write_nifti(tmp_path / modality / f"P{number}_mask.nii.gz", mask())
    return tmp_path


def test_a_patient_is_one_group_in_all_modalities_and_lies_in_one_split(
    modalities: Path, tmp_path: Path
) -> None:
    report = build_datalist(beside(modalities), tmp_path / "d.json", label_map=TUMOUR, fractions=THREE_WAYS)
    datalist = load_datalist(report.path)
    items = [item for split in ("training", "validation", "test") for item in datalist.items(split)]
    groups = {Path(item["image"]).name[:2]: item["group"] for item in items}
    assert (len(items), len(set(groups.values())), report.left_out) == (9, 6, ())
    ct = build_datalist(beside(modalities / "ct"), tmp_path / "ct.json", label_map=TUMOUR, fractions=ONE)
    assert {item["group"] for item in load_datalist(ct.path, dataset_dir=modalities / "ct").training} == set(
        groups.values()
    )
    assert all(
        Path(item["label"]).name == Path(item["image"]).name.replace("image", "mask") for item in items
    )


def test_the_command_line_builds_it(modalities: Path, tmp_path: Path, capsys) -> None:
    folder = str(modalities / "ct")
    words = ["--images", folder, "--labels", folder, "--image-suffix", "_image", "--label-suffix", "_mask"]
    words += ["--group-from", "stem", "--label-map", "1=tumour", "--output", str(tmp_path / "d.json")]
    assert main(["datalist", *words, "--fractions", "0.6", "0.2", "0.2"]) == 0
    assert "with tumour" in capsys.readouterr().out
    assert main(["datalist", *words, "--modality", "ct"]) != 0


def turned() -> np.ndarray:
    """The same voxels with the first axis reversed."""
    affine = AFFINE.copy()
    affine[:3, 0] *= -1
    affine[:3, 3] += AFFINE[:3, 0] * (SHAPE[0] - 1)
    return affine


def moved(distance: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[2, 3] += distance
    return affine


@pytest.mark.parametrize(
    ("values", "affine", "reason"),
    [
        (mask(), moved(1e-4), ""),
        (mask(), turned(), ""),
        (mask(), moved(0.01), "found 7 x 6 x 5 at another place"),
        (mask()[:, :, :4], AFFINE, "found 7 x 6 x 4 at another place"),
        (mask(9), AFFINE, "mask value 9 is not declared"),
        (mask() * 0.5, AFFINE, "mask: wanted a mask of whole numbers, found fractions or NaN"),
        (
            mask(),
            None,
            "mask: wanted an affine that says where the voxels lie, found neither sform nor qform",
        ),
    ],
)
def test_a_mask_is_on_the_voxels_of_its_image_or_is_left_out(
    modalities: Path, values, affine, reason: str
) -> None:
    write_nifti(modalities / "ct" / "P0_mask.nii.gz", values, affine=affine)
    report = build_datalist(beside(modalities), modalities / "d.json", label_map=TUMOUR, fractions=ONE)
    found = dict(report.left_out).get("ct/P0_image.nii.gz", "")
    assert reason in found if reason else not found


def test_an_image_with_nan_or_without_an_affine_is_left_out(modalities: Path) -> None:
    values = np.zeros(SHAPE, np.float32)
    values[0, 0, :2] = np.nan
    write_nifti(modalities / "ct" / "P0_image.nii.gz", values)
    write_nifti(modalities / "ct" / "P1_image.nii.gz", affine=None)
    report = build_datalist(beside(modalities), modalities / "d.json", label_map=TUMOUR, fractions=ONE)
    reasons = dict(report.left_out)
    assert reasons["ct/P0_image.nii.gz"] == "image: wanted finite values, found 2 NaN or infinite ones"
    assert "found neither sform nor qform" in reasons["ct/P1_image.nii.gz"]


def write_patient(
    folder: Path, patient: int, *, modality: str = "CT", label: str | None = "rt.dcm", refers: bool = True
) -> Path:
    """``folder/image`` with a series and ``folder/label`` with a structure set of the region "GTV"."""
    uid = f"1.2.2.{patient}.{ord(modality[0])}"

    def edit(index, dataset):
        dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = uid, f"{uid}.9"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{uid}.{index + 1}"
        dataset.PatientID = f"SENTINEL-{patient}"

    write_series(folder / "image", modality=modality, edit=edit)
    if label:
        write_label(folder / label, folder / "image", uid if refers else "1.2.99")
    return folder


def write_label(path: Path, images: Path, uid: str) -> Path:
    series = read_source_series(the_series(find_series(images)))
    instances = tuple(sorted(series.instances)) if uid == series.series_instance_uid else ()
    regions = {
        3: ("Body", [contour(series.grid, SQUARE, at=0)]),
        5: ("GTV", [contour(series.grid, SQUARE, at=2)]),
    }
    return write_structures(path, regions, series=uid, frame_of_reference=f"{uid}.9", instances=instances)


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Four patients with a CT each and an RTSTRUCT that lies apart from it; one has an MR as well."""
    for number in range(4):
        write_patient(tmp_path / "data" / f"p{number}", number)
    write_patient(tmp_path / "data" / "p0" / "later", 0, modality="MR")
    return tmp_path / "data"


def test_series_and_labels_are_matched_by_their_references(patients: Path, tmp_path: Path) -> None:
    (patients / "notes.txt").write_text("no DICOM")
    shutil.move(patients / "p1/rt.dcm", patients / "p2/other.dcm")
    report = build_datalist(
        SeriesSource(patients), tmp_path / "d.json", label_map=["GTV=tumour"], fractions=ONE
    )
    datalist = load_datalist(report.path, dataset_dir=patients)
    labels = {
        Path(item["image"]).relative_to(patients).as_posix(): Path(item["label"])
        .relative_to(patients)
        .as_posix()
        for item in datalist.training
    }
    assert labels == {
        "p0/image": "p0/rt.dcm",
        "p0/later/image": "p0/later/rt.dcm",
        "p1/image": "p2/other.dcm",
        "p2/image": "p2/rt.dcm",
        "p3/image": "p3/rt.dcm",
    }
    assert report.left_out == ()
    assert len({item["group"] for item in datalist.training}) == 4
    assert "SENTINEL" not in report.path.read_text() + "\n".join(report.lines())


def test_training_reads_what_the_datalist_names(patients: Path, tmp_path: Path) -> None:
    build_datalist(
        SeriesSource(patients, modality="mr", dataset_dir=tmp_path),
        tmp_path / "d.json",
        label_map=["gtv=tumour"],
        fractions=ONE,
    )
    datalist = load_datalist(tmp_path / "d.json")
    load = LoadVolumed(("image", "label"), label_map=datalist.label_map, num_classes=datalist.num_classes)
    item = load(datalist.items("training")[0])
    assert item["label"].shape == item["image"].shape
    assert item["label"][0, 1:5, 1:4, 2].all()
    assert item["label"].sum() == 12


def test_what_cannot_be_matched_is_left_out_with_its_reason(patients: Path, tmp_path: Path) -> None:
    write_patient(patients / "alone", 7, label=None)
    write_patient(patients / "foreign", 8, refers=False)
    twice = write_patient(patients / "twice", 9)
    shutil.copy(twice / "rt.dcm", twice / "again.dcm")
    write_patient(patients / "mixed", 10)
    for path in (write_patient(tmp_path / "mr", 10, modality="MR", label=None) / "image").iterdir():
        shutil.move(path, patients / "mixed/image" / f"mr_{path.name}")
    for path in (patients / "p3/image").iterdir():
        path.write_bytes(path.read_bytes()[:600])
    report = build_datalist(
        SeriesSource(patients), tmp_path / "d.json", label_map=["GTV=tumour"], fractions=ONE
    )
    reasons = dict(report.left_out)
    assert reasons["alone/image"] == "no SEG or RTSTRUCT that refers to it"
    assert reasons["foreign/rt.dcm"] == "refers to no series that is here"
    assert reasons["twice/image"] == "2 labels that refer to it: choose with --label-kind or a table"
    assert reasons["p3/image"].startswith("image: ")
    assert any(
        "a folder of 2 series" in reason for path, reason in reasons.items() if path.startswith("mixed")
    )
    assert sum(report.counts.values()) == 4


def test_a_label_without_the_region_and_a_series_that_is_no_volume_are_left_out(
    patients: Path, tmp_path: Path
) -> None:
    next((patients / "p1/image").glob("*_2.dcm")).unlink()  # a gap
    report = build_datalist(
        SeriesSource(patients, modality="ct"), tmp_path / "d.json", label_map=["GTV=tumour"], fractions=ONE
    )
    assert dict(report.left_out)["p1/image"].startswith("image: ")
    with pytest.raises(DatalistError, match="none of 2 named"):
        build_datalist(SeriesSource(patients), tmp_path / "d.json", label_map=["Lung=tumour"], fractions=ONE)


def test_labels_without_a_label_map_are_asked_for_by_number_and_never_by_name(
    patients: Path, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="--label-map 3=NAME,5=NAME") as caught:
        build_datalist(SeriesSource(patients), tmp_path / "d.json", label_map=None, fractions=ONE)
    assert "GTV" not in str(caught.value)


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    write_patient(tmp_path / "p", 1, label=None)
    for source in (
        SeriesSource(tmp_path),
        SeriesSource(tmp_path / "absent"),
        SeriesSource(tmp_path / "p/image"),
    ):
        with pytest.raises(DatalistError):
            source.collect()


def test_one_series_under_two_patient_ids_is_a_leak(patients: Path, tmp_path: Path) -> None:
    rows = [f"{name}/image,{name}/rt.dcm,{name}" for name in ("p0", "p1", "p2")]
    (patients / "t.csv").write_text("\n".join(["image,label,group", *rows]))
    table = TableSource(patients / "t.csv")
    build_datalist(table, tmp_path / "d.json", label_map=["GTV=tumour"], fractions=ONE)
    shutil.rmtree(patients / "p1")
    shutil.copytree(patients / "p0", patients / "p1")
    for path in (patients / "p1/image").iterdir():
        path.rename(path.with_name(f"renamed_{path.name}"))
    with pytest.raises(DatalistError, match="the same image in 2 groups"):
        build_datalist(table, tmp_path / "d.json", label_map=["GTV=tumour"], fractions=ONE)


def test_folders_of_series_pair_with_masks_of_their_name(patients: Path, tmp_path: Path) -> None:
    for number in range(4):
        shutil.move(patients / f"p{number}/image", tmp_path / f"images/p{number}")
        (tmp_path / "labels").mkdir(exist_ok=True)
        shutil.move(patients / f"p{number}/rt.dcm", tmp_path / f"labels/p{number}.dcm")
    grid = read_source_series(the_series(find_series(tmp_path / "images/p3"))).grid
    (tmp_path / "labels/p3.dcm").unlink()
    write_nifti(tmp_path / "labels/p3.nii.gz", np.ones(grid.shape, np.uint8), affine=grid.affine)
    source = FolderSource(tmp_path / "images", tmp_path / "labels", Grouping(source="patient_id"))
    report = build_datalist(source, tmp_path / "d.json", label_map=["GTV=tumour,1=tumour"], fractions=ONE)
    assert report.left_out == ()
    items = json.loads((tmp_path / "d.json").read_text())["training"]
    assert [item["image"] for item in items] == [f"images/p{number}" for number in range(4)]
    assert items[1]["group"] == group_name(group_name("SENTINEL-1"))


def test_an_enhanced_file_is_a_volume_and_no_cine(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    path = write_enhanced(tmp_path / "images" / "e.dcm")
    grid = read_source_series(the_series(find_series(path))).grid
    write_nifti(tmp_path / "labels/e.nii.gz", np.ones(grid.shape, np.uint8), affine=grid.affine)
    source = FolderSource(tmp_path / "images", tmp_path / "labels", Grouping(source="file"))
    report = build_datalist(source, tmp_path / "d.json", label_map=TUMOUR, fractions=ONE)
    assert [item["image"] for item in load_datalist(report.path).training] == [str(path)]


def test_a_real_pet_series_is_found_among_those_of_its_patient(shared_data: Path, tmp_path: Path) -> None:
    source = SeriesSource(shared_data / "sarcoma/dicom", modality="pet")
    report = build_datalist(source, tmp_path / "d.json", label_map=["GTV_Mass_PET=tumour"], fractions=ONE)
    assert (report.counts, report.left_out) == ({"training": 1}, ())
