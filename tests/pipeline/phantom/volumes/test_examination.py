"""Each object is a valid image of its kind, and every transfer syntax holds the same values."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from pyraseg.pipeline.phantom.identity import draw_identity
from pyraseg.pipeline.phantom.volumes.acquisition import CT_VIEWS, MR_VIEWS, Acquisition, draw_acquisition
from pyraseg.pipeline.phantom.volumes.body.anatomy import draw_body
from pyraseg.pipeline.phantom.volumes.ct import CT_STORAGES, CtExamination
from pyraseg.pipeline.phantom.volumes.examination import TRANSFER_SYNTAXES, build_series
from pyraseg.transforms.geometry.grid import VolumeGrid

MODALITIES = {"ct": "CTImage", "mr": "MRImage", "pet": "PETImage"}
GRID = VolumeGrid(
    (40, 36, 3), (-5.0, -4.0, 7.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (2.0, 2.0, 5.0)
)
VALUES = np.random.default_rng(0).integers(-1000, 1500, GRID.shape).astype(np.float32)


@pytest.mark.parametrize("transfer_syntax", dict.fromkeys(TRANSFER_SYNTAXES), ids=lambda uid: uid.name)
@pytest.mark.parametrize("storage", CT_STORAGES, ids=str)
def test_every_encoding_gives_the_hu_back(tmp_path, transfer_syntax, storage):
    rng = np.random.default_rng(1)
    body = draw_body(rng, 0, scale=(0.9, 1), both_sides=False)
    identity = draw_identity(rng, 0, seed=0, patient_name=None)
    slices = build_series(
        replace(CtExamination.draw(rng, body, 0, identity), storage=storage),
        VALUES,
        Acquisition(CT_VIEWS[0], GRID),
        root=("test",),
        transfer_syntax=transfer_syntax,
    )
    assert [dataset.InstanceNumber for dataset in slices] == [1, 2, 3]
    for dataset in slices:
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        read = pydicom.dcmread(tmp_path / "a.dcm")
        assert read.file_meta.TransferSyntaxUID == transfer_syntax
        index = round((read.ImagePositionPatient[2] - GRID.origin[2]) / GRID.spacing[2])
        stored = read.pixel_array.astype(int)
        inside = np.ones(stored.shape, bool) if storage.padding is None else stored != storage.padding
        hu = stored * read.RescaleSlope + read.RescaleIntercept
        assert np.array_equal(hu[inside], VALUES[:, :, index].T[inside])
        assert inside.all() == (storage.padding is None)


@pytest.mark.parametrize("modality", MODALITIES)
def test_slices_share_their_series_and_differ_in_place_and_number(series, modality):
    for folder in series(modality):
        slices = [pydicom.dcmread(path) for path in folder.iterdir()]
        for keyword in (
            "SeriesInstanceUID",
            "StudyInstanceUID",
            "FrameOfReferenceUID",
            "ImageOrientationPatient",
        ):
            assert len({str(dataset[keyword].value) for dataset in slices}) == 1
        for keyword in ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient"):
            assert len({str(dataset[keyword].value) for dataset in slices}) == len(slices)


def test_views_differ_in_orientation_position_spacing_and_order():
    for views in (CT_VIEWS, MR_VIEWS):
        assert any(view.oblique for view in views)
        assert any(view.descending for view in views)
        assert any(view.shuffled for view in views)
        assert len({view.slice_mm for view in views}) > 3
    assert {view.position for view in CT_VIEWS} == {"HFS", "FFS", "HFP"}
    assert len({view.axes for view in MR_VIEWS}) == 3


def test_directions_of_a_grid_are_orthogonal_unit_vectors():
    rng = np.random.default_rng(0)
    body = draw_body(rng, 0, scale=(0.9, 1), both_sides=False)
    for view in (*CT_VIEWS, *MR_VIEWS):
        grid = draw_acquisition(rng, view, body, whole_body=False).grid
        axes = np.array([grid.row_direction, grid.column_direction, grid.slice_direction])
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-10)
        assert np.linalg.det(axes) > 0


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (dicom3tools)")
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_validator_finds_no_error(volumes, series, modality):
    objects = {next(folder.iterdir()): MODALITIES[modality] for folder in series(modality)}
    objects |= dict.fromkeys((volumes(modality).output / "segmentations").iterdir(), "Segmentation")
    objects |= dict.fromkeys((volumes(modality).output / "structures").iterdir(), "RTStructureSet")
    for path, kind in objects.items():
        found = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        lines = (found.stdout + found.stderr).splitlines()
        assert kind in lines
        assert [line for line in lines if "Error" in line] == []
