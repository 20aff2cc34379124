"""Inference over a folder: one label map and one overlay a frame, and a table that leads back to the
input."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from PIL import Image

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.datalist import find_images
from pyraseg.pipeline.inference import SavePredictions, SourceGridLabelsd, infer
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.transforms.errors import CheckpointError
from tests.chains import frame_preprocessing

NAMES = ["background", "kidney", "hydronephrosis"]
SPACING = (0.5, 0.25)  # rows, columns, in mm
PREPROCESSING = frame_preprocessing(size=(48, 64), in_channels=1)
COLUMNS = ["case", "image", "spacing_source"]
COLUMNS += ["kidney_pixels", "hydronephrosis_pixels", "kidney_mm2", "hydronephrosis_mm2"]


class Bright(torch.nn.Module):
    """Calls what is brighter than its one weight kidney, and nothing fluid."""

    def __init__(self, threshold: float = 0.6) -> None:
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor(threshold))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kidney = 40 * (x - self.threshold)
        return torch.cat([-kidney, kidney, torch.full_like(x, -100.0)], dim=1)


def frame(shape: tuple[int, int]) -> np.ndarray:
    picture = np.zeros(shape, np.uint8)
    picture[10:-10, 12:-12] = np.random.default_rng(0).integers(40, 90, (shape[0] - 20, shape[1] - 24))
    picture[20:35, 30:50] = 230
    return picture


@pytest.fixture
def data(tmp_path) -> Path:
    """A calibrated NIfTI, and two pictures without calibration, one of them in a folder below."""
    folder = tmp_path / "data"
    (folder / "DOE^JANE").mkdir(parents=True)
    nifti = nibabel.Nifti1Image(frame((60, 80)).T[:, :, None], np.diag([SPACING[1], SPACING[0], 1, 1]))
    nifti.header.set_xyzt_units("mm")
    nibabel.save(nifti, folder / "calibrated.nii.gz")
    Image.fromarray(frame((60, 80))).save(folder / "plain.png")
    Image.fromarray(frame((90, 70))).save(folder / "DOE^JANE" / "other.png")
    return folder


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return save_checkpoint(tmp_path / "model.pt", {"model": Bright().state_dict()})


def predict(place: str | Path, output: Path, checkpoint: Path) -> list[dict[str, str]]:
    """Run inference as the bundle does and return the table."""
    handler = SavePredictions(
        output, dataset_dir=place, segments=resolve_segments(NAMES), preprocessing=PREPROCESSING
    )
    found = find_images(place)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(list(found.items), PREPROCESSING), batch_size=1, num_workers=0),
        network=Bright(threshold=5.0),  # finds nothing until the checkpoint is loaded
        postprocessing=SourceGridLabelsd("pred", PREPROCESSING),
        val_handlers=[handler],
    )
    infer(evaluator, checkpoint=checkpoint, folder=output, left_out=found.left_out)
    with open(output / "cases.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def rows(data, output, checkpoint) -> dict[str, dict[str, str]]:
    return {row["image"]: row for row in predict(data, output, checkpoint)}


def test_the_table_names_every_frame_by_its_path_within_the_data_set(rows):
    assert set(rows) == {"calibrated.nii.gz", "plain.png", "DOE^JANE/other.png"}
    assert all(list(row) == COLUMNS for row in rows.values())


def test_each_frame_has_a_label_map_and_an_overlay_by_its_case_and_there_is_nothing_else(rows, output):
    cases = {row["case"] for row in rows.values()}
    assert len(cases) == 3
    written = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    expected = {f"labels/{case}.nii.gz" for case in cases} | {f"overlays/{case}.png" for case in cases}
    assert written == expected | {"cases.csv"}
    assert not any("DOE" in name or "other" in name for name in written)


@pytest.mark.parametrize("image", ["calibrated.nii.gz", "plain.png", "DOE^JANE/other.png"])
def test_a_label_map_lies_on_its_frame_s_grid_and_the_table_counts_it(rows, output, image):
    stored = nibabel.load(output / "labels" / f"{rows[image]['case']}.nii.gz")
    labels = np.asarray(stored.dataobj)[..., 0].T
    truth = frame(labels.shape) == 230
    assert labels.shape == ((90, 70) if "other" in image else (60, 80))
    assert int(rows[image]["kidney_pixels"]) == (labels == 1).sum()
    assert 2 * ((labels == 1) & truth).sum() / ((labels == 1).sum() + truth.sum()) > 0.9
    assert rows[image]["hydronephrosis_pixels"] == "0"


def test_areas_in_mm2_are_given_where_the_frame_is_calibrated_and_nowhere_else(rows, output):
    calibrated = rows.pop("calibrated.nii.gz")
    assert calibrated["spacing_source"] == "nifti"
    assert float(calibrated["kidney_mm2"]) == pytest.approx(
        int(calibrated["kidney_pixels"]) * 0.125, abs=0.01
    )
    assert calibrated["hydronephrosis_mm2"] == "0.00"
    stored = nibabel.load(output / "labels" / f"{calibrated['case']}.nii.gz")
    assert stored.header.get_zooms()[:2] == pytest.approx((SPACING[1], SPACING[0]))
    for row in rows.values():
        assert (row["spacing_source"], row["kidney_mm2"], row["hydronephrosis_mm2"]) == ("none", "", "")


def test_an_overlay_shows_the_prediction_in_its_colour(rows, output):
    kidney = np.array(resolve_segments(NAMES)[1].colour, float)
    picture = np.asarray(Image.open(output / "overlays" / f"{rows['plain.png']['case']}.png")).astype(float)
    coloured = np.ptp(picture, axis=2) > 20
    assert 0.02 < coloured.mean() < 0.3
    hue = np.median(picture[coloured], axis=0)
    assert np.array_equal(np.argsort(hue), np.argsort(kidney))


@pytest.mark.parametrize(
    ("place", "images"),
    [
        ("plain.png", {"plain.png"}),
        ("*.png", {"plain.png"}),
        ("**/*.png", {"plain.png", "DOE^JANE/other.png"}),
        ("DOE*/*.png", {"DOE^JANE/other.png"}),
    ],
)
def test_a_file_and_a_glob_are_named_from_the_folder_that_is_sure(data, output, checkpoint, place, images):
    table = predict(str(data / place), output, checkpoint)
    assert {row["image"] for row in table} == images


def test_a_relative_folder_gives_the_same_table(data, output, checkpoint, rows, monkeypatch):
    monkeypatch.chdir(data.parent)
    assert {row["image"]: row for row in predict("data", output, checkpoint)} == rows


def test_a_second_run_gives_the_same_bytes(data, output, checkpoint, rows):
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    predict(data, output, checkpoint)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_a_name_that_is_not_utf8_costs_no_table(data, output, checkpoint):
    source = data / "plain.png"
    try:
        os.rename(os.fsencode(source), os.fsencode(data) + b"/caf\xe9.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    table = predict(data, output, checkpoint)
    assert "caf\\xe9.png" in {row["image"] for row in table}


def test_a_checkpoint_that_is_not_there_stops_before_anything_is_written(data, output, tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        predict(data, output, tmp_path / "none.pt")
    assert not output.exists()


def test_a_file_that_is_no_image_is_written_down_with_its_reason(data, output, checkpoint):
    (data / "torn.png").write_bytes((data / "plain.png").read_bytes()[:40])
    nibabel.save(nibabel.Nifti1Image(np.full((80, 60, 1), np.nan, np.float32), np.eye(4)), data / "roe.nii")
    assert len(predict(data, output, checkpoint)) == 3
    with open(output / "left_out.csv", newline="", encoding="utf-8") as file:
        reasons = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == {"torn.png", "roe.nii"}
    assert reasons["torn.png"]
    assert "NaN or infinite values" in reasons["roe.nii"]
