"""Laws of whole volume phantoms: bytes, geometry, labels, truth, identity, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pyraseg.pipeline.datalist import SeriesSource, build_datalist, load_datalist
from pyraseg.pipeline.phantom import generate
from pyraseg.pipeline.phantom.volumes.cases import VolumePhantoms
from pyraseg.transforms.errors import ConfigError
from pyraseg.transforms.io.volumes import LoadVolumed
from tests.pipeline.phantom.test_dataset import digests

MODALITIES = ("ct", "mr", "pet")
RAS = np.diag([-1, -1, 1, 1])


def read_series(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values (x, y, z) and RAS affine as SimpleITK, another library than wrote them, reads them."""
    import SimpleITK as sitk

    (identifier,) = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), identifier))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, RAS @ affine


def read_label(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import nibabel

    image = nibabel.load(path)
    return np.asarray(image.dataobj), image.affine


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_case_written_alone_has_the_bytes_that_it_has_in_the_set(volumes, tmp_path, modality):
    phantoms = VolumePhantoms(modality)
    for part in phantoms.folders:
        (tmp_path / part).mkdir()
    phantoms.write(phantoms.plan(9, seed=2, patient_name=None)[1], tmp_path)
    alone, whole = digests(tmp_path), digests(volumes(modality).output)
    assert {Path(name).parts[0] for name in alone} == {"images", "labels", "segmentations", "structures"}
    assert alone.items() <= whole.items()


def test_another_seed_gives_another_patient(volumes):
    one, other = (VolumePhantoms("ct").plan(1, seed=seed, patient_name=None)[0] for seed in (2, 3))
    assert one.identity != other.identity
    assert one.root != other.root


@pytest.mark.parametrize("modality", MODALITIES)
def test_another_library_finds_the_label_on_the_grid_of_its_series(volumes, series, modality):
    for folder in series(modality):
        values, affine = read_series(folder)
        label, own = read_label(volumes(modality).output / "labels" / f"{folder.name}.nii.gz")
        assert label.shape == values.shape
        assert np.unique(label).tolist() == [0, 1]
        np.testing.assert_allclose(own, affine, atol=1e-4)


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_segmentation_marks_the_points_that_the_nifti_label_marks(volumes, series, modality):
    import highdicom

    for folder in series(modality):
        label, affine = read_label(volumes(modality).output / "labels" / f"{folder.name}.nii.gz")
        seg = highdicom.seg.segread(volumes(modality).output / "segmentations" / f"{folder.name}.dcm")
        found = seg.get_volume(combine_segments=True)
        clouds = [
            np.round((frame @ np.c_[np.argwhere(mask), np.ones(np.count_nonzero(mask))].T)[:3].T, 3) + 0.0
            for mask, frame in ((label > 0, affine), (found.array > 0, RAS @ found.affine))
        ]
        one, other = (cloud[np.lexsort(cloud.T)] for cloud in clouds)
        assert len(one) > 20
        np.testing.assert_allclose(one, other, atol=2e-3)
        assert str(seg.SeriesInstanceUID) != pydicom.dcmread(next(folder.iterdir())).SeriesInstanceUID


@pytest.mark.parametrize("modality", MODALITIES)
def test_nifti_seg_and_rtstruct_are_the_same_label_to_training(volumes, series, modality):
    load = LoadVolumed(("image", "label"), label_map={0: 0, 1: 1}, num_classes=2)
    for folder in series(modality)[:2]:
        files = [
            volumes(modality).output / place / f"{folder.name}{suffix}"
            for place, suffix in (("labels", ".nii.gz"), ("segmentations", ".dcm"), ("structures", ".dcm"))
        ]
        nifti, segments, structures = (load({"image": folder, "label": path})["label"] for path in files)
        assert 20 < nifti.sum() < nifti.numel() / 4
        np.testing.assert_array_equal(segments.numpy(), nifti.numpy())
        np.testing.assert_array_equal(structures.numpy(), nifti.numpy())


def test_the_datalist_command_finds_the_phantoms_series_with_either_label(volumes, tmp_path):
    for kind in ("seg", "rtstruct"):
        source = SeriesSource(volumes("ct").output, label_kind=kind)
        report = build_datalist(
            source, tmp_path / f"{kind}.json", label_map=["tumour=tumour"], fractions=(1, 0, 0)
        )
        assert (report.counts, report.left_out) == ({"training": 3}, ())


@pytest.mark.parametrize(("modality", "tolerance"), [("ct", 0.6), ("mr", 0.6)])
def test_the_table_gives_what_the_label_holds_in_the_stored_series(
    volumes, series, truth, modality, tolerance
):
    for folder in series(modality):
        values = read_series(folder)[0].astype(float)
        mapping = pydicom.dcmread(next(folder.iterdir())).get("RealWorldValueMappingSequence")
        values = values * mapping[0].RealWorldValueSlope if mapping else values
        label, affine = read_label(volumes(modality).output / "labels" / f"{folder.name}.nii.gz")
        rows = [row for row in truth(modality) if row["case"] == folder.name]
        volume = np.count_nonzero(label) * abs(np.linalg.det(affine[:3, :3])) / 1000
        total = sum(float(row["label_ml"]) for row in rows)
        mean = sum(float(row["label_ml"]) * float(row["mean"]) for row in rows) / total
        assert total == pytest.approx(volume, rel=1e-4)
        assert values[label > 0].mean() == pytest.approx(mean, abs=tolerance)
        assert values[label > 0].max() == pytest.approx(
            max(float(row["maximum"]) for row in rows), abs=tolerance
        )


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_label_has_about_the_exact_volume_of_its_lesion(truth, modality):
    rows = truth(modality)
    assert len({row["case"] for row in rows}) == 3 < len(rows)
    for row in rows:
        assert float(row["label_ml"]) == pytest.approx(float(row["volume_ml"]), rel=0.12)


def test_hu_of_a_lesion_without_core_lie_about_the_planned_value(truth):
    plain = [row for row in truth("ct") if not row["core_value"]]
    assert plain
    for row in plain:  # blur and neighbours change the mean by less than the contrast to fat
        assert float(row["mean"]) == pytest.approx(float(row["value"]), abs=25)


def test_the_datalist_has_a_series_and_a_label_for_each_patient(volumes):
    for modality in MODALITIES:
        report = volumes(modality)
        datalist = json.loads(report.datalist.read_text())
        items = [item for split in ("training", "validation", "test") for item in datalist[split]]
        assert datalist["label_names"] == ["background", "tumour"]
        assert len({item["group"] for item in items}) == len(items) == report.cases == 3
        assert all(len(datalist[split]) == 1 for split in ("training", "validation", "test"))
        assert all((report.output / item["image"]).is_dir() for item in items)
        assert all((report.output / item["label"]).is_file() for item in items)
        assert len(load_datalist(report.datalist).training) == 1


def test_a_name_given_for_all_patients_is_in_every_object(tmp_path):
    phantoms = VolumePhantoms("mr")
    for part in phantoms.folders:
        (tmp_path / part).mkdir()
    phantoms.write(phantoms.plan(1, seed=0, patient_name="SENTINEL^ALPHA")[0], tmp_path)
    files = list(tmp_path.rglob("*.dcm"))
    assert len(files) > 10
    assert {str(pydicom.dcmread(path).PatientName) for path in files} == {"SENTINEL^ALPHA"}


def test_a_set_too_small_for_three_splits_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 3 cases"):
        generate(tmp_path / "out", modality="ct", cases=2)
    assert not (tmp_path / "out").exists()
