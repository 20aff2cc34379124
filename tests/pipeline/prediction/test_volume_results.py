"""From folders of series to results on their own grids, with nothing lost and nobody named."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from pydicom import dcmread

from pyraseg.pipeline.inference import SegmentationInferer
from pyraseg.pipeline.prediction.bundle import load_bundle, read_bundle
from pyraseg.transforms.dicom.labels.rtstruct import read_rtstruct
from pyraseg.transforms.dicom.labels.rtstruct_mask import roi_label_map
from pyraseg.transforms.dicom.labels.seg import read_segmentation
from pyraseg.transforms.dicom.labels.seg_labels import segmentation_labels
from tests.pipeline.prediction.runs import Run, predict
from tests.pipeline.prediction.volume_runs import BUNDLES, labels_of, noise, write_numbered
from tests.pipeline.writers.dicom_checkers import errors, needs
from tests.pipeline.writers.volume_cases import read
from tests.transforms.dicom.series_cases import oblique, write_enhanced

TRAINED_ON = json.loads((BUNDLES["ct"] / "configs/metadata.json").read_text(encoding="utf-8"))["prediction"][
    "trained_on"
]
BOX = (-18.0, -6.0, -24.0, -10.0, 45.0, 60.0)
DONE = ("enhanced.dcm", "oblique", "volume.nii.gz")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, _strict_dicom_writing) -> Path:
    """An oblique series, an enhanced file, a gap, values that are no HU, another modality, and a NIfTI
    volume."""
    folder = tmp_path_factory.mktemp("volumes") / "in"
    write_numbered(folder / "oblique", 1, orientation=oblique())
    gap = write_numbered(folder / "gap", 2)
    next(path for path in gap.iterdir() if path.stem.endswith("_4")).unlink()
    write_numbered(folder / "no_hu", 3, RescaleType="US")
    write_numbered(folder / "mr", 4, modality="MR")
    write_enhanced(folder / "enhanced.dcm", noise(5, (40, 60, 140)))
    nifti = nib.Nifti1Image(noise(6).T - 1024.0, np.diag([0.75, 1.5, 2.5, 1]))
    nib.save(nifti, folder.parent / "volume.nii.gz")
    return folder


@pytest.fixture(scope="module")
def done(inputs, volume_checkpoint, tmp_path_factory) -> Run:
    """All formats of all inputs."""
    options = ["--formats", "seg,sr,nifti,overlay,rtstruct", "--probabilities"]
    return run(inputs, inputs.parent / "volume.nii.gz", output=tmp_path_factory.mktemp("out") / "out",
               checkpoint=volume_checkpoint, options=options)  # fmt: skip


def run(*inputs: Path, output: Path, checkpoint: Path, options: list[str], bundle: str = "ct") -> Run:
    return predict(*inputs, output=output, checkpoints=[checkpoint], options=options, bundle=BUNDLES[bundle])


def row(done: Run, name: str) -> dict[str, str]:
    """Of the item whose first file lies in a folder of that name, or is that file."""
    (found,) = [each for each in done.results if name in Path(each["file"]).parts]
    return found


def folder(done: Run, name: str) -> Path:
    return done.output / "items" / row(done, name)["case"]


def source(inputs: Path, name: str):
    return read(inputs / name)


def test_every_file_is_a_slice_of_a_result_a_failure_or_left_out(inputs, done):
    assert done.status == 1
    assert len(done.results) == len(DONE)
    assert {Path(file).parts[1] for file in done.reasons("failures")} == {"gap", "no_hu"}
    assert len(done.table("failures")) == 2
    left = done.reasons("left_out")
    assert {Path(file).parts[1]: reason for file, reason in left.items()} == {"mr": "modality MR"}
    assert len(left) == 12
    assert sorted(int(each["slices"]) for each in done.results) == [12, 12, 40]


def test_a_gap_fails_with_its_reason_and_what_to_type(done):
    (failure,) = [each for each in done.table("failures") if "gap" in each["file"]]
    assert "1 missing" in failure["reason"]
    assert "--repair longest_run" in failure["remedy"]
    (failure,) = [each for each in done.table("failures") if "no_hu" in each["file"]]
    assert "--assume-hu" in failure["remedy"]


@pytest.mark.parametrize("name", ["oblique", "enhanced.dcm"])
def test_seg_rtstruct_and_nifti_hold_the_same_labels_on_the_source_grid(inputs, done, name):
    volume, place = source(inputs, name), folder(done, name)
    labels = labels_of(place)
    assert 0 < np.count_nonzero(labels) < labels.size
    np.testing.assert_allclose(nib.load(place / "labels.nii.gz").affine, volume.grid.affine, atol=1e-4)
    seg, _ = segmentation_labels(read_segmentation(place / "seg.dcm"), volume.source)
    np.testing.assert_array_equal(seg, labels)
    structures, _ = roi_label_map(read_rtstruct(place / "rtstruct.dcm"), volume.source, {1: 1})
    np.testing.assert_array_equal(structures, labels)


def test_labels_are_those_of_the_bundle_s_own_inference(inputs, done, volume_checkpoint):
    bundle = load_bundle(read_bundle(BUNDLES["ct"]), checkpoints=[volume_checkpoint])
    volume = source(inputs, "enhanced.dcm")
    image = bundle.preprocessing({"image": volume, "case": "c"})["image"]
    window = bundle.input_shape[1:]
    assert (
        sum(side > least for side, least in zip(image.shape[1:], window, strict=True)) > 1
    )  # several windows
    inferer = SegmentationInferer(
        "sliding", device=bundle.device, amp=bundle.inferer.amp, roi_size=window, overlap=0.5
    )
    with torch.inference_mode():
        scores = inferer(image[None], bundle.network)[0]
    expected = bundle.postprocessing({"pred": scores, "image": image})["pred"]
    same = np.asarray(expected)[0] == labels_of(folder(done, "enhanced.dcm"))
    assert same.mean() > 0.999


def test_probabilities_lie_on_the_source_grid_and_agree_with_the_labels(done):
    place = folder(done, "oblique")
    shares, labels = nib.load(place / "probabilities.nii.gz"), labels_of(place)
    assert shares.shape == (*labels.shape, 1, 2)
    np.testing.assert_allclose(shares.affine, nib.load(place / "labels.nii.gz").affine, atol=1e-6)
    assert (np.asarray(shares.get_fdata())[..., 0, 1][labels == 1] > 0.3).mean() > 0.9


def test_quantities_are_those_of_the_labels_and_the_source_values(inputs, done):
    volume, labels, found = (
        source(inputs, "oblique"),
        labels_of(folder(done, "oblique")),
        row(done, "oblique"),
    )
    values = volume.array[labels == 1]
    assert float(found["volume_ml"]) == pytest.approx(len(values) * volume.grid.voxel_ml, rel=1e-5)
    assert float(found["hu_mean_HU"]) == pytest.approx(values.mean(), rel=1e-4)
    assert float(found["hu_sd_HU"]) == pytest.approx(values.std(), rel=1e-4)
    spacing = [float(found[f"spacing_{axis}_mm"]) for axis in ("column", "row", "slice")]
    np.testing.assert_allclose(spacing, volume.grid.spacing, rtol=1e-5)
    assert found["searched_mm"] == ""


def test_a_nifti_volume_has_nifti_tables_and_pictures_alone(done):
    found = row(done, "volume.nii.gz")
    assert found["outputs"].split("; ") == [
        "labels.nii.gz", "probabilities.nii.gz", "thumbnail.jpg", "overlay.png", "projection.png",
    ]  # fmt: skip
    assert float(found["volume_ml"]) > 0
    assert found["hu_mean_HU"] == ""  # NIfTI states no unit
    assert found["spacing_source"] == "nifti"


@needs("dciodvfy")
@pytest.mark.parametrize("name", ["oblique", "enhanced.dcm"])
def test_what_is_written_is_valid(done, name):
    for written in ("seg.dcm", "sr.dcm", "rtstruct.dcm"):
        assert errors(folder(done, name) / written) == [], written


def texts(path: Path) -> list[str]:
    return [str(item.TextValue) for item in dcmread(path).ContentSequence if "TextValue" in item]


def test_sr_report_and_manifest_say_what_the_model_was_trained_on(done):
    assert any(TRAINED_ON in text for text in texts(folder(done, "oblique") / "sr.dcm"))
    assert TRAINED_ON in (done.output / "report.html").read_text(encoding="utf-8")
    assert json.loads((done.output / "manifest.json").read_text(encoding="utf-8"))["trained_on"] == TRAINED_ON


def test_nobody_is_named_but_in_the_dicom_objects(inputs, done):
    plain = [
        path
        for path in done.output.rglob("*")
        if path.suffix in (".csv", ".html", ".json", ".jsonl", ".lock")
    ]
    assert len(plain) > 8
    said = [path.read_text(encoding="utf-8") for path in plain] + [done.stdout, done.stderr, *map(str, plain)]
    assert not [text for text in said if "SENTINEL" in text]
    report = (done.output / "report.html").read_text(encoding="utf-8")
    assert str(inputs) not in "".join(said)
    assert "oblique/" not in report
    for name in ("seg.dcm", "sr.dcm", "rtstruct.dcm"):
        assert dcmread(folder(done, "oblique") / name).PatientName == "SENTINEL^NAME"


def test_a_second_run_keeps_what_is_done_and_does_a_changed_series_again(
    inputs, done, volume_checkpoint, tmp_path
):
    output = shutil.copytree(done.output, tmp_path / "out")
    changed = shutil.copytree(inputs, tmp_path / "in")  # copies keep their times
    sorted((changed / "oblique").iterdir())[5].touch()
    options = ["--formats", "seg,sr,nifti,overlay,rtstruct", "--probabilities", "--resume"]
    again = run(
        changed, inputs.parent / "volume.nii.gz", output=output, checkpoint=volume_checkpoint, options=options
    )
    assert "1 done" in again.stdout
    assert "2 kept" in again.stdout
    assert len(again.results) == len(DONE)
    np.testing.assert_array_equal(labels_of(folder(again, "oblique")), labels_of(folder(done, "oblique")))
    uids = [dcmread(folder(each, "oblique") / "seg.dcm").SOPInstanceUID for each in (done, again)]
    assert uids[0] == uids[1]


@pytest.fixture(scope="module")
def limited(inputs, volume_checkpoint, tmp_path_factory) -> Run:
    """With a region, and what is broken mended."""
    box = ",".join(f"{bound:g}" for bound in BOX)
    options = [f"--roi={box}", "--repair", "longest_run", "--assume-hu", "--seg-type", "fractional"]
    return run(inputs, inputs.parent / "volume.nii.gz", output=tmp_path_factory.mktemp("out") / "out",
               checkpoint=volume_checkpoint, options=[*options, "--formats", "seg,sr,nifti"])  # fmt: skip


def test_what_may_be_mended_is_and_the_row_says_so(limited):
    assert {Path(each["file"]).parts[1] for each in limited.results} == {
        "gap",
        "no_hu",
        "oblique",
        "enhanced.dcm",
    }
    assert "7 of 11 slices make the volume" in row(limited, "gap")["notes"]
    assert row(limited, "gap")["slices"] == "7"


@pytest.mark.parametrize("name", ["no_hu", "oblique", "enhanced.dcm"])
def test_outside_the_region_nothing_is_found_and_everything_says_so(inputs, limited, name):
    place = folder(limited, name)
    labels, image = labels_of(place), nib.load(place / "labels.nii.gz")
    index = np.moveaxis(np.indices(labels.shape), 0, -1)
    lps = (index @ image.affine[:3, :3].T + image.affine[:3, 3]) * [-1, -1, 1]
    inside = ((lps >= BOX[::2]) & (lps <= BOX[1::2])).all(axis=-1)
    assert 0 < inside.sum() < inside.size
    assert not labels[~inside].any()
    assert row(limited, name)["searched_mm"] == "x -18 to -6, y -24 to -10, z 45 to 60"
    assert "Only this box was searched" in row(limited, name)["notes"]
    assert any("Only this box was searched" in text for text in texts(place / "sr.dcm"))
    seg = dcmread(place / "seg.dcm")
    assert seg.SegmentationType == "FRACTIONAL"


def test_a_region_is_of_dicom_series(limited):
    (failure,) = [each for each in limited.table("failures") if "nii" in each["file"]]
    assert "--roi" in failure["remedy"]


def test_a_region_beside_every_series_fails_with_where_they_lie(inputs, volume_checkpoint, tmp_path):
    beside = run(inputs / "oblique", output=tmp_path / "out", checkpoint=volume_checkpoint,
                 options=["--roi=900,901,900,901,900,901"])  # fmt: skip
    (failure,) = beside.table("failures")
    assert beside.status == 1
    assert "beside" in failure["reason"]
    assert "--roi=" in failure["remedy"]


BAD_PET = {
    "weight": ({"PatientWeight": 0}, "Patient's Weight (0010,1030)"),
    "dose": ({"RadionuclideTotalDose": 0}, "Dose (0018,1074)"),
    "mega": ({"RadionuclideTotalDose": 370}, "MBq"),
    "early": ({"RadiopharmaceuticalStartTime": "121500"}, "injection"),
}


def test_pet_whose_suv_cannot_be_told_fails_with_the_attribute_and_the_rest_goes_on(
    volume_checkpoint, tmp_path
):
    write_numbered(tmp_path / "in" / "good", 1, modality="PT", RescaleSlope=8.0)
    for number, (name, (changes, _)) in enumerate(BAD_PET.items(), start=2):
        place = write_numbered(tmp_path / "in" / name, number, modality="PT")
        for path in place.iterdir():
            dataset = dcmread(path)
            drug = dataset.RadiopharmaceuticalInformationSequence[0]
            for keyword, value in changes.items():
                setattr(dataset if keyword == "PatientWeight" else drug, keyword, value)
            dataset.save_as(path)
    done = run(
        tmp_path / "in", output=tmp_path / "out", checkpoint=volume_checkpoint, options=[], bundle="pet"
    )
    failures = {Path(each["file"]).parts[0]: each for each in done.table("failures")}
    assert set(failures) == set(BAD_PET)
    for name, (_, word) in BAD_PET.items():
        assert word in failures[name]["reason"] + failures[name]["remedy"], failures[name]
        assert failures[name]["remedy"]
    (good,) = done.results
    labels = labels_of(folder(done, "good"))
    values = read(tmp_path / "in" / "good").array[labels == 1]
    assert float(good["suv_max_g_per_ml"]) == pytest.approx(values.max(), rel=1e-5)
    assert float(good["tlg_g"]) == pytest.approx(values.mean() * float(good["mtv_ml"]), rel=1e-4)


def test_what_is_no_volume_fails_with_what_is_wrong_and_the_rest_goes_on(volume_checkpoint, tmp_path):
    folder = tmp_path / "in"
    write_numbered(folder / "good", 1)
    write_numbered(folder / "no_slope", 2, RescaleSlope=0)
    single = write_numbered(folder / "single", 3)
    for path in sorted(single.iterdir())[1:]:
        path.unlink()
    turned = write_numbered(folder / "turned", 4)
    for path in sorted(turned.iterdir())[:4]:
        dataset = dcmread(path)
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        dataset.save_as(path)
    broken = np.ones((9, 8, 7), np.float32)
    broken[4, 4, 4] = np.nan
    nib.save(nib.Nifti1Image(broken, np.eye(4)), tmp_path / "nan.nii.gz")
    nowhere = nib.Nifti1Image(np.ones((9, 8, 7), np.float32), None)
    nowhere.header.set_sform(None, code=0)
    nowhere.header.set_qform(None, code=0)
    nib.save(nowhere, tmp_path / "nowhere.nii")
    done = run(folder, tmp_path / "nan.nii.gz", tmp_path / "nowhere.nii", output=tmp_path / "out",
               checkpoint=volume_checkpoint, options=["--formats", "nifti"])  # fmt: skip
    reasons = {Path(file).parts[1]: reason for file, reason in done.reasons("failures").items()}
    assert set(reasons) == {"no_slope", "single", "turned", "nan.nii.gz", "nowhere.nii"}
    assert "2 stacks: (1) 8 slices" in reasons["turned"]
    assert "NaN" in reasons["nan.nii.gz"]
    assert "affine" in reasons["nowhere.nii"]
    remedies = {Path(each["file"]).parts[1]: each["remedy"] for each in done.table("failures")}
    assert "--repair single_slice" in remedies["single"]
    assert "--stack 1" in remedies["turned"]
    assert not [text for text in remedies.values() if re.search(r"\w=", text)]
    assert [Path(each["file"]).parts[1] for each in done.results] == ["good"]
