"""What ``predict`` writes: one mask in every format, on the source grid, and numbers that are counted on
it."""

from __future__ import annotations

import csv
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.sr.codedict import codes

from pyraseg.pipeline.prediction.items.quality import key_frame
from pyraseg.pipeline.writers.tables.csv_tables import column
from tests.pipeline.prediction.conftest import EXAMPLES
from tests.pipeline.prediction.runs import BUNDLE, LABELS, Run, nifti_frames, predict, write_checkpoint
from tests.pipeline.writers.dicom_checkers import accepts, errors, needs

PHANTOM = [f"phantom/case_{number:04d}.dcm" for number in range(1, 6)]
METADATA = json.loads((BUNDLE / "configs/metadata.json").read_text(encoding="utf-8"))
FILES = {"seg.dcm", "sr.dcm", "labels.nii.gz", "thumbnail.jpg", "overlay.png"}
CINE_FILES = {"cine.webp", "sheet.png"}


@pytest.fixture(scope="module", autouse=True)
def plain(inputs, checkpoint, tmp_path_factory):
    """Label maps (H, W) of MONAI's own command by the frame's name; it runs beside other tests."""
    output = tmp_path_factory.mktemp("plain") / "out"
    command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--bundle_root", str(BUNDLE)]
    command += [
        "--config_file",
        str(BUNDLE / "configs/inference.yaml"),
        "--dataset_dir",
        str(inputs / "phantom"),
    ]
    command += ["--checkpoint", str(checkpoint), "--output_dir", str(output), "--num_workers", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def label_maps() -> dict[str, np.ndarray]:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said[-2000:]
        with (output / "cases.csv").open(newline="") as file:
            cases = {f"phantom/{row['image']}": row["case"] for row in csv.DictReader(file)}
        return {name: nifti_frames(output / "labels" / f"{case}.nii.gz")[0] for name, case in cases.items()}

    yield label_maps
    process.kill()


def files(run: Run) -> list[str]:
    return [row["file"] for row in run.results]


def seg_labels(path: Path, frames: int) -> np.ndarray:
    """(F, H, W) from a segmentation by pydicom alone: each plane where its functional groups say that it
    belongs."""
    dataset = pydicom.dcmread(path)
    planes = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    labels = np.zeros((frames, dataset.Rows, dataset.Columns), np.uint8)
    for plane, groups in zip(planes, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        index = source_frame(groups)
        if dataset.SegmentationType == "LABELMAP":
            labels[index] = plane
        else:
            number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            assert not (labels[index][plane > 0]).any()
            labels[index][plane > 0] = number
    return labels


def highdicom_planes(path: Path) -> np.ndarray:
    """By highdicom, which refuses Pixel Measures without a spacing: docs/viewers.md says what helps."""
    dataset = pydicom.dcmread(path)
    (shared,) = dataset.SharedFunctionalGroupsSequence
    if "PixelSpacing" not in shared.PixelMeasuresSequence[0]:
        del shared.PixelMeasuresSequence
    return highdicom.seg.Segmentation.from_dataset(dataset).pixel_array


def source_frame(groups: Any) -> int:
    """From 0: the frame that a plane is of, by its derivation."""
    source = groups.DerivationImageSequence[0].SourceImageSequence[0]
    return int(source.get("ReferencedFrameNumber", 1)) - 1


def itk_planes(path: Path) -> np.ndarray:
    """0 and 1; SimpleITK shows one bit as 0 and 255."""
    import SimpleITK

    planes = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    return (planes > 0).reshape(-1, *planes.shape[-2:])


def test_every_input_gives_a_result_and_the_run_says_so(predicted):
    assert (predicted.status, predicted.stderr) == (0, "")
    assert files(predicted) == [row["file"] for row in sorted(predicted.results, key=lambda row: row["case"])]
    assert sorted(files(predicted)) == sorted([*PHANTOM, *(f"pydicom/{name}" for name in EXAMPLES)])
    assert predicted.table("failures") == predicted.table("left_out") == []
    first, *_, last = predicted.stdout.splitlines()
    manifest = json.loads((predicted.output / "manifest.json").read_text(encoding="utf-8"))
    assert (
        first
        == f"bundle {BUNDLE}, version {METADATA['version']}, weights sha256 {manifest['weights_sha256']}"
    )
    assert last == f"results: {predicted.output / 'report.html'}"


def test_the_masks_are_those_of_plain_monai_bit_for_bit(plain, predicted):
    compared = 0
    expected = plain()
    for file in PHANTOM:
        labels = predicted.labels(file)
        names = (
            [file] if len(labels) == 1 else [f"{file}#frame_index={index}" for index in range(len(labels))]
        )
        for name, frame in zip(names, labels, strict=True):
            np.testing.assert_array_equal(frame, expected[name])
            compared += len(np.unique(frame)) > 1
    assert compared == len(expected) == 16


def test_the_segmentation_holds_the_mask_of_the_nifti_bit_for_bit(predicted):
    for file in files(predicted):
        labels, path = predicted.labels(file), predicted.item(file) / "seg.dcm"
        np.testing.assert_array_equal(seg_labels(path, len(labels)), labels)
        planes = pydicom.dcmread(path).pixel_array.reshape(-1, *labels.shape[1:])
        np.testing.assert_array_equal(highdicom_planes(path).reshape(planes.shape), planes)
        if len(labels) > 1 or not predicted.result(file)["spacing_row_mm"]:
            np.testing.assert_array_equal(itk_planes(path), planes)  # it refuses planes at one place


def test_a_mask_lies_on_the_source_s_grid(predicted, inputs):
    for file in files(predicted):
        row, source = predicted.result(file), pydicom.dcmread(inputs / file, stop_before_pixels=True)
        size = [int(source.get("NumberOfFrames") or 1), source.Rows, source.Columns]
        assert [int(row[name]) for name in ("frames", "rows", "columns")] == size
        assert list(predicted.labels(file).shape) == size
        names = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
        uids = [source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID]
        assert [row[name] for name in names] == uids


def test_an_item_has_the_files_of_all_formats_and_lists_them(predicted):
    cines = 0
    for file in files(predicted):
        present = {path.name for path in predicted.item(file).iterdir()} - {"item.json"}
        row = predicted.result(file)
        assert present == set(row["outputs"].split("; "))
        wanted = FILES | CINE_FILES if int(row["frames"]) > 1 else FILES
        if "no picture" in row["notes"]:  # text beside the tissue might leave with it
            wanted = {name for name in wanted if not name.endswith((".png", ".jpg", ".webp"))}
            assert file not in PHANTOM
        assert present == wanted
        cines += "cine.webp" in present
    assert cines >= 2


def test_areas_are_counted_pixels_times_the_spacing(predicted):
    measured = 0
    for file in files(predicted):
        row, labels = predicted.result(file), predicted.labels(file)
        key = labels[int(row["key_frame"])]
        for value, name in enumerate(LABELS[1:], start=1):
            area = row[f"{name}_area_mm2"]
            if row["spacing_source"] == "none":
                assert (area, row["spacing_row_mm"]) == ("", "")
                continue
            spacing = float(row["spacing_row_mm"]) * float(row["spacing_column_mm"])
            assert float(area) == pytest.approx((key == value).sum() * spacing, rel=1e-6)
            measured += float(area) > 0
    assert measured >= 6


def test_the_ratios_follow_from_the_counted_pixels(predicted):
    for file in files(predicted):
        row = predicted.result(file)
        key = predicted.labels(file)[int(row["key_frame"])]
        kidney, fluid = (key == 1).sum(), (key == 2).sum()
        expected = {
            "hydronephrosis_index_percent": (100 * kidney, kidney + fluid),
            "harp_ratio": (fluid, kidney),
            "phar_ratio": (kidney, fluid),
            "fluid_fraction_ratio": (fluid, kidney + fluid),
        }
        for name, (above, below) in expected.items():
            assert (
                row[name] == "" if below == 0 else float(row[name]) == pytest.approx(above / below, rel=1e-5)
            )


def test_the_spacing_is_the_source_s(predicted, inputs):
    calibrated = [file for file in PHANTOM if predicted.result(file)["spacing_source"] == "region"]
    assert len(calibrated) == 4
    for file in calibrated:
        region = pydicom.dcmread(inputs / file, stop_before_pixels=True).SequenceOfUltrasoundRegions[0]
        row = predicted.result(file)
        assert float(row["spacing_row_mm"]) == pytest.approx(10 * abs(region.PhysicalDeltaY), abs=1e-6)
        assert float(row["spacing_column_mm"]) == pytest.approx(10 * abs(region.PhysicalDeltaX), abs=1e-6)


def test_every_frame_has_its_row_and_the_key_frame_is_the_one_of_the_rule(predicted):
    frames = predicted.table("frames")
    names = [column(entry["name"], "mm2") for entry in METADATA["quantities"] if entry["measure"] == "area"]
    for row in predicted.results:
        own = [frame for frame in frames if frame["case"] == row["case"]]
        assert [int(frame["frame"]) for frame in own] == list(range(int(row["frames"])))
        labels = predicted.labels(row["file"])
        areas = np.array([np.bincount(label.ravel(), minlength=3) for label in labels])
        assert int(row["key_frame"]) == key_frame(areas, names=LABELS, segment="hydronephrosis")
        key = own[int(row["key_frame"])]
        assert {name: key[name] for name in (*names, "harp_ratio", "confidence")} == {
            name: row[name] for name in (*names, "harp_ratio", "confidence")
        }
        if len(own) > 1 and own[0]["harp_ratio"]:
            values = [float(frame["harp_ratio"]) for frame in own if frame["harp_ratio"]]
            assert float(row["harp_ratio_max"]) == pytest.approx(max(values))
            assert float(row["harp_ratio_median"]) == pytest.approx(np.median(values), abs=1e-6)
    assert {int(predicted.result(file)["key_frame"]) for file in PHANTOM} != {0}


def containers(dataset: Any) -> list[Any]:
    """The measurement groups of a report."""
    below = [
        item for item in dataset.iterall() if item.keyword == "ContentSequence"
    ]  # every level, the groups among them
    found = [content for sequence in below for content in sequence.value if content.ValueType == "CONTAINER"]
    return [
        each
        for each in found
        if each.ConceptNameCodeSequence[0].CodeValue == codes.DCM.MeasurementGroup.value
    ]


def numbers(group: Any) -> dict[str, float]:
    return {
        item.ConceptNameCodeSequence[0].CodeValue: float(item.MeasuredValueSequence[0].NumericValue)
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def finding(group: Any) -> str:
    return next(
        (
            item.ConceptCodeSequence[0].CodeValue
            for item in group.ContentSequence
            if item.ValueType == "CODE"
            and item.ConceptNameCodeSequence[0].CodeValue == codes.DCM.Finding.value
        ),
        "",
    )


def test_the_report_s_numbers_are_those_of_the_table(predicted):
    types = {entry["name"]: entry["type"][0] for entry in METADATA["segments"][1:]}
    for file in files(predicted):
        record, groups = predicted.record(file), containers(pydicom.dcmread(predicted.item(file) / "sr.dcm"))
        reported = {
            (finding(group), code): value for group in groups for code, value in numbers(group).items()
        }
        expected = {}
        for entry in METADATA["quantities"]:
            alone = len(entry["segments"]) == 1
            pixels = (predicted.labels(file)[record.key_frame] == LABELS.index(entry["segments"][0])).any()
            value = record.key.values[entry["name"]]
            if value is not None and (pixels or not alone):
                expected[types[entry["segments"][0]] if alone else "", entry["code"][0]] = value
        assert reported.keys() == expected.keys()
        assert all(reported[key] == pytest.approx(expected[key], rel=1e-5) for key in expected)


def test_the_report_refers_to_the_segmentation_s_key_frame_and_to_the_source(predicted):
    for file in files(predicted):
        row, folder = predicted.result(file), predicted.item(file)
        seg, report = pydicom.dcmread(folder / "seg.dcm"), pydicom.dcmread(folder / "sr.dcm")
        references = [
            item.ReferencedSOPSequence[0]
            for group in containers(report)
            for item in group.ContentSequence
            if item.ValueType == "IMAGE"
        ]
        ours = [
            reference for reference in references if reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        ]
        key = predicted.labels(file)[int(row["key_frame"])]
        assert len(ours) == len(set(np.unique(key)) - {0})
        for reference in ours:
            groups = seg.PerFrameFunctionalGroupsSequence[int(reference.ReferencedFrameNumber) - 1]
            assert source_frame(groups) == int(row["key_frame"])
        others = {reference.ReferencedSOPInstanceUID for reference in references} - {seg.SOPInstanceUID}
        assert others == {row["sop_instance_uid"]}
        evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
        listed = [item.ReferencedSOPSequence[0] for item in evidence.ReferencedSeriesSequence]
        assert {item.ReferencedSOPInstanceUID for item in listed} == {
            seg.SOPInstanceUID,
            row["sop_instance_uid"],
        }


def test_segmentation_and_report_are_filed_with_the_patient_and_the_study_of_the_source(predicted, inputs):
    for file in files(predicted):
        source = pydicom.dcmread(inputs / file, stop_before_pixels=True)
        for name in ("seg.dcm", "sr.dcm"):
            written = pydicom.dcmread(predicted.item(file) / name)
            assert written.PatientName == (source.get("PatientName") or "")
            assert written.PatientID == (source.get("PatientID") or "")
            assert written.StudyInstanceUID == source.StudyInstanceUID
            assert written.SeriesInstanceUID != source.SeriesInstanceUID


@needs("dciodvfy")
@needs("dcmdump")
@needs("dsrdump")
def test_validators_find_no_error(predicted):
    for file in PHANTOM:  # some of pydicom's examples have UIDs of their own that no validator takes
        for name in ("seg.dcm", "sr.dcm"):
            assert errors(predicted.item(file) / name) == []
    for file in files(predicted):
        assert accepts("dcmdump", predicted.item(file) / "seg.dcm")
        assert accepts("dsrdump", predicted.item(file) / "sr.dcm")


def test_a_cine_moves_through_all_its_frames_at_its_own_pace(predicted, inputs):
    """Frames that follow on one of the same content are shown as one, for as long as all of them."""
    for file in [file for file in PHANTOM if int(predicted.result(file)["frames"]) > 1]:
        source = pydicom.dcmread(inputs / file, stop_before_pixels=True)
        frames, pace = int(source.NumberOfFrames), float(source.FrameTime)
        with Image.open(predicted.item(file) / "cine.webp") as picture:
            assert frames - 2 <= picture.n_frames <= frames
            shown = 0.0
            for index in range(picture.n_frames):
                picture.seek(index)
                picture.load()
                shown += picture.info["duration"]
        assert shown == pytest.approx(frames * pace, abs=frames)


def test_a_cine_as_nifti_keeps_its_pace_whatever_other_formats_there_are(
    predicted, inputs, checkpoint, tmp_path
):
    import nibabel

    options, name = ["--formats", "nifti"], Path(PHANTOM[1]).name
    run = predict(inputs / PHANTOM[1], output=tmp_path / "out", checkpoints=[checkpoint], options=options)
    alone, among = (
        nibabel.load(each / "labels.nii.gz") for each in (run.item(name), predicted.item(PHANTOM[1]))
    )
    source = pydicom.dcmread(inputs / PHANTOM[1], stop_before_pixels=True)
    assert alone.header.get_zooms()[3] == pytest.approx(float(source.FrameTime) / 1000)
    assert alone.header == among.header


def test_pictures_show_the_tissue_alone(predicted):
    cropped = 0
    for file in PHANTOM:
        row = predicted.result(file)
        with Image.open(predicted.item(file) / "overlay.png") as picture:
            assert picture.width <= int(row["columns"])
            assert picture.height <= int(row["rows"])
            cropped += picture.width * picture.height < 0.9 * int(row["columns"]) * int(row["rows"])
    assert cropped == len(PHANTOM)


def test_the_manifest_names_weights_versions_options_and_counts_and_no_place(predicted, inputs, checkpoint):
    import hashlib

    text = (predicted.output / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert manifest["weights_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert manifest["bundle"]["name"] == METADATA["name"]
    assert manifest["versions"]["pydicom"] == pydicom.__version__
    assert manifest["options"]["formats"] == "seg, sr, nifti, overlay"
    assert (manifest["options"]["seg_type"], manifest["backend"].split()[0]) == ("binary", "torch")
    counts = manifest["counts"]
    assert (counts["items_found"], counts["results"], counts["failed"], counts["left_out"]) == (10, 10, 0, 0)
    assert counts["frames_in_this_run"] == sum(int(row["frames"]) for row in predicted.results)
    for path in (predicted.output, inputs, checkpoint, BUNDLE, Path.home()):
        assert str(path) not in text


def test_the_report_page_holds_every_case(predicted):
    page = (predicted.output / "report.html").read_text(encoding="utf-8")
    assert [row["case"] for row in predicted.results if row["case"] not in page] == []
    assert str(predicted.output) not in page


def test_outputs_are_for_their_owner_alone(predicted):
    places = [predicted.output, *predicted.output.rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in places if path.suffix != ".lock"}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_nothing_but_results_is_left(predicted):
    names = {path.name for path in predicted.output.iterdir()} - {".pyraseg"}
    assert names == {
        *(
            "items",
            "results.csv",
            "frames.csv",
            "failures.csv",
            "left_out.csv",
            "manifest.json",
            "report.html",
        )
    }
    hidden = [path.name for path in (predicted.output / "items").rglob(".*")]
    assert hidden == []
    assert list((predicted.output / ".pyraseg" / "drafts").iterdir()) == []


def test_formats_that_are_not_asked_for_are_not_written(inputs, checkpoint, tmp_path):
    run = predict(
        inputs / PHANTOM[1], output=tmp_path / "out", checkpoints=[checkpoint], options=["--formats", "seg"]
    )
    (item,) = (tmp_path / "out" / "items").iterdir()
    assert {path.name for path in item.iterdir()} == {"seg.dcm", "thumbnail.jpg", "item.json"}
    assert run.results[0]["outputs"] == "seg.dcm; thumbnail.jpg"


def test_a_label_map_segmentation_holds_the_same_mask(inputs, predicted, checkpoint, tmp_path):
    options = ["--formats", "seg,sr", "--seg-type", "labelmap", "--batch-size", "1"]
    run = predict(inputs / "phantom", output=tmp_path / "out", checkpoints=[checkpoint], options=options)
    assert run.status == 0
    for file in PHANTOM:
        path, labels = run.item(Path(file).name) / "seg.dcm", predicted.labels(file)
        assert pydicom.dcmread(path).SegmentationType == "LABELMAP"
        np.testing.assert_array_equal(seg_labels(path, len(labels)), labels)
        np.testing.assert_array_equal(highdicom_planes(path).reshape(labels.shape), labels)


def test_fractional_segmentation_and_nifti_hold_the_probabilities_of_the_mask(
    inputs, predicted, checkpoint, tmp_path
):
    options = ["--formats", "seg", "--seg-type", "fractional", "--probabilities"]
    given = [inputs / PHANTOM[0], inputs / PHANTOM[1]]
    run = predict(*given, output=tmp_path / "out", checkpoints=[checkpoint], options=options)
    assert run.status == 0
    for file in PHANTOM[:2]:
        folder, labels = run.item(Path(file).name), predicted.labels(file)
        shares = nifti_frames(folder / "probabilities.nii.gz")
        assert shares.shape == (len(labels), 3, *labels.shape[1:])
        total = shares.sum(axis=1)
        assert np.all((np.abs(total - 1) < 0.01) | (total == 0))
        assert (total > 0.5).any()
        clear = np.abs(np.diff(np.sort(shares, axis=1)[:, -2:], axis=1)[:, 0]) > 0.01
        unchanged = (shares.argmax(axis=1) == labels)[clear]  # but for the clean-up of the mask
        assert unchanged.mean() > 0.9
        assert (shares.argmax(axis=1)[labels > 0] > 0).mean() > 0.9
        seg = pydicom.dcmread(folder / "seg.dcm")
        assert seg.SegmentationType == "FRACTIONAL"
        planes = seg.pixel_array.reshape(-1, *labels.shape[1:])
        for plane, groups in zip(planes, seg.PerFrameFunctionalGroupsSequence, strict=True):
            number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            share = shares[source_frame(groups), number]
            assert np.abs(plane / seg.MaximumFractionalValue - share).max() < 0.01


def test_two_classes_have_the_quantities_of_two_classes(inputs, tmp_path):
    weights = write_checkpoint(tmp_path / "two.pt", labels=("background", "hydronephrosis"))
    run = predict(inputs / PHANTOM[0], output=tmp_path / "out", checkpoints=[weights])
    assert (run.status, run.stderr) == (0, "")
    name = Path(PHANTOM[0]).name
    row, record = run.result(name), run.record(name)
    assert (row["kidney_area_mm2"], row["harp_ratio"]) == ("", "")
    assert float(row["hydronephrosis_area_mm2"]) > 0
    assert record.key.reasons["kidney_area"] == "the label set has no kidney"
    assert "no kidney found" not in row["flags"]
    seg = pydicom.dcmread(run.item(name) / "seg.dcm")
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["hydronephrosis"]
    np.testing.assert_array_equal(seg_labels(run.item(name) / "seg.dcm", 1), run.labels(name))


def test_several_checkpoints_are_one_ensemble(inputs, predicted, checkpoint, tmp_path):
    """A member that is repeated changes nothing, another one does; the hash is that of all."""
    other = write_checkpoint(tmp_path / "other.pt", seed=5)
    options, file = ["--formats", "nifti"], PHANTOM[0]
    runs = [
        predict(inputs / file, output=tmp_path / str(number), checkpoints=members, options=options)
        for number, members in enumerate([[checkpoint, checkpoint], [checkpoint, other]])
    ]
    name = Path(file).name
    expected = predicted.labels(file)
    assert (
        runs[0].labels(name) != expected
    ).mean() < 0.001  # the mean of two equal numbers, but for its logarithm
    assert (runs[1].labels(name) != expected).mean() > 0.01
    hashes = {
        json.loads((run.output / "manifest.json").read_bytes())["weights_sha256"]
        for run in (*runs, predicted)
    }
    assert len(hashes) == 3


def test_overrides_reach_the_bundle(inputs, predicted, checkpoint, tmp_path):
    """A clean-up that keeps next to nothing leaves nothing."""
    given = ["--formats", "nifti", "--value-range", "0", "255"]
    options = [*given, "--", "--cleanup", "{'minimum_area':0.9}"]
    run = predict(inputs / PHANTOM[1], output=tmp_path / "out", checkpoints=[checkpoint], options=options)
    assert run.status == 0
    assert predicted.labels(PHANTOM[1]).any()
    assert not run.labels(Path(PHANTOM[1]).name).any()
    options = json.loads((run.output / "manifest.json").read_bytes())["options"]
    assert (options["overrides"], options["value_range"]) == ("cleanup", "0, 255")


def test_a_repeated_run_writes_the_same_uids(inputs, predicted, checkpoint, tmp_path):
    run = predict(inputs, output=tmp_path / "out", checkpoints=[checkpoint], options=["--limit", "2"])
    assert len(run.results) == 2
    for row in run.results:
        for name in ("seg.dcm", "sr.dcm"):
            here, there = (pydicom.dcmread(each.item(row["file"]) / name) for each in (run, predicted))
            assert here.SOPInstanceUID == there.SOPInstanceUID


COLOUR = ("IM00001.fragmented_no_bot_jpeg_baseline.50.dcm", "IM00001.implicit_little_endian.dcm")
COLOUR = (*COLOUR, "color-pl.dcm", "color-px.dcm")
OF_ONE_UID = ("OBXXXX1A.dcm", "OBXXXX1A_2frame.dcm", "OBXXXX1A_rle_2frame.dcm")


def test_real_files_give_results_or_the_right_reason(shared_data, checkpoint, tmp_path):
    folder = shared_data / "dicom" / "us"
    run = predict(folder, output=tmp_path / "out", checkpoints=[checkpoint])
    assert run.status == 1
    assert run.reasons("left_out") == dict.fromkeys(COLOUR, "colour Doppler")
    failures = run.reasons("failures")
    assert sorted(failures) == sorted(OF_ONE_UID)
    assert all("under the same SOP Instance UID" in reason for reason in failures.values())
    expected = {path.name for path in folder.iterdir()} - {*COLOUR, *OF_ONE_UID}
    assert set(files(run)) == expected
    for file in expected:
        labels = run.labels(file)
        np.testing.assert_array_equal(seg_labels(run.item(file) / "seg.dcm", len(labels)), labels)


@pytest.mark.parametrize("name", OF_ONE_UID)
def test_a_real_file_alone_gives_a_result(shared_data, checkpoint, tmp_path, name):
    run = predict(shared_data / "dicom/us" / name, output=tmp_path / "out", checkpoints=[checkpoint])
    assert (run.status, run.stderr) == (0, "")
    assert len(run.labels(name)) == (1 if name == "OBXXXX1A.dcm" else 2)
