"""Inference over a folder of volumes: label maps on the source's voxels, montages, a table in voxels and
ml."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from PIL import Image

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.datalist import find_images
from pyraseg.pipeline.inference import SavePredictions, SourceGridLabelsd, infer
from pyraseg.pipeline.training.checkpoints import save_checkpoint
from pyraseg.transforms.frame.source_view import source_view
from tests.chains import volume_preprocessing
from tests.transforms.dicom.series_cases import AXIAL, oblique, write_series

SEGMENTS = resolve_segments(["background", "tumour"])
PREPROCESSING = volume_preprocessing("ct_sarcoma", input_size=(16, 16, 16), spacing_mm=(1.5, 1.5, 2.5))
TUMOUR = (slice(3, 9), slice(4, 12), slice(6, 18))  # slices, rows, columns
VOXEL_ML = 1.5 * 0.75 * 2.5 / 1000
COUNT = 6 * 8 * 12


class Bright(torch.nn.Module):
    """Calls what is brighter than its one weight tumour."""

    def __init__(self, threshold: float = 0.6) -> None:
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor(threshold))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = 40 * (x - self.threshold)
        return torch.cat([-score, score], dim=1)


def body() -> np.ndarray:
    """Stored values (slices, rows, columns): muscle of 40 HU with a tumour of 200 HU."""
    values = np.full((14, 20, 24), 1064, np.int16)
    values[TUMOUR] = 1224
    return values


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """An axial and an oblique CT series, each in a folder, and the first one as NIfTI with other axes
    first."""
    folder = tmp_path_factory.mktemp("data")
    for number, (name, orientation) in enumerate((("DOE^JANE/axial", AXIAL), ("oblique", oblique()))):

        def own_uid(_, dataset, number=number):
            dataset.SeriesInstanceUID = f"1.2.77.{number}"

        write_series(
            folder / name, body(), orientation=orientation, edit=own_uid, first_uid=100 * (number + 1)
        )
    affine = np.diag([-0.75, -1.5, 2.5, 1])[:, [2, 0, 1, 3]]
    nibabel.save(
        nibabel.Nifti1Image(body().transpose(0, 2, 1).astype(np.float32) - 1024, affine),
        folder / "turned.nii",
    )
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def output(data, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("out")
    checkpoint = save_checkpoint(output.parent / f"{output.name}.pt", {"model": Bright().state_dict()})
    found = find_images(data, kind="volume")
    handler = SavePredictions(output, dataset_dir=data, segments=SEGMENTS, preprocessing=PREPROCESSING)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(list(found.items), PREPROCESSING), batch_size=1, num_workers=0),
        network=Bright(threshold=5.0),  # finds nothing until the checkpoint is loaded
        postprocessing=SourceGridLabelsd("pred", PREPROCESSING),
        val_handlers=[handler],
    )
    infer(evaluator, checkpoint=checkpoint, folder=output, left_out=found.left_out)
    return output


@pytest.fixture(scope="module")
def rows(output) -> dict[str, dict[str, str]]:
    with open(output / "cases.csv", newline="", encoding="utf-8") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_a_series_is_one_row_by_its_folder_with_voxels_and_ml(rows):
    assert set(rows) == {"DOE^JANE/axial", "oblique", "turned.nii"}
    for name, row in rows.items():
        assert list(row) == ["case", "image", "spacing_source", "tumour_voxels", "tumour_ml"]
        assert row["spacing_source"] == ("nifti" if name == "turned.nii" else "series")
        assert int(row["tumour_voxels"]) == pytest.approx(COUNT, rel=0.1)
        assert float(row["tumour_ml"]) == pytest.approx(int(row["tumour_voxels"]) * VOXEL_ML, abs=6e-4)


def test_each_volume_has_a_label_map_and_a_montage_by_its_case_and_there_is_nothing_else(rows, output):
    cases = [row["case"] for row in rows.values()]
    written = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    expected = {f"labels/{case}.nii.gz" for case in cases} | {f"overlays/{case}.png" for case in cases}
    assert written == expected | {"cases.csv", "left_out.csv"}


@pytest.mark.parametrize("name", ["DOE^JANE/axial", "oblique"])
def test_a_label_map_lies_where_itk_has_the_series(rows, output, data, name):
    labels = SimpleITK.ReadImage(str(output / "labels" / f"{rows[name]['case']}.nii.gz"))
    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(data / name))
    series = SimpleITK.ReadImage(files)
    assert labels.GetSize() == series.GetSize()
    for corner in ((0, 0, 0), (23, 19, 13), (5, 0, 7)):
        places = (image.TransformIndexToPhysicalPoint(corner) for image in (labels, series))
        assert next(places) == pytest.approx(next(places), abs=1e-3)
    found = SimpleITK.GetArrayFromImage(labels) == 1
    truth = SimpleITK.GetArrayFromImage(series) > 150
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93


@pytest.mark.parametrize("name", ["DOE^JANE/axial", "turned.nii"])
def test_a_label_map_has_one_affine_in_both_forms_and_it_is_the_source_s(rows, output, data, name):
    stored = nibabel.load(output / "labels" / f"{rows[name]['case']}.nii.gz")
    source = source_view(PREPROCESSING)({"image": str(data / name)})["image"]
    forms = (stored.get_sform(coded=True), stored.get_qform(coded=True))
    for affine, code in forms:
        assert int(code) == 1
        assert affine == pytest.approx(np.asarray(source.affine), abs=1e-4)
    assert stored.get_data_dtype() == np.uint8
    assert stored.shape == tuple(source.shape[1:])
    assert stored.header.get_xyzt_units()[0] == "mm"


def test_volumes_that_are_alike_but_for_their_storage_have_one_montage(rows, output):
    pictures = [
        Image.open(output / "overlays" / f"{rows[name]['case']}.png")
        for name in ("DOE^JANE/axial", "turned.nii")
    ]
    first, second = (np.asarray(picture) for picture in pictures)
    assert first.shape == (2 * 320 + 4, 3 * 192 + 2 * 4, 3)  # six slices with tumour, of 30 x 18 mm
    assert np.array_equal(first, second)
    assert 0.05 < (np.ptp(first.astype(int), axis=2) > 20).mean() < 0.5


def test_what_is_no_volume_is_written_down(output):
    with open(output / "left_out.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row == {"file": "notes.txt", "reason": "a file without the DICM prefix, wanted a DICOM file"}
