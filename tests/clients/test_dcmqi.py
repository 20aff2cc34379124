"""dcmqi, the reader and writer of 3D Slicer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK

from tests.clients.conftest import CASES, client, run


@pytest.mark.parametrize("name", CASES)
def test_segimage2itkimage_has_the_mask_of_every_frame_at_its_own_place(tmp_path, case, name):
    program, given = client("dcmqi", "bin", "segimage2itkimage"), case(name)
    done = run(
        program, "--inputDICOM", given.seg, "--outputDirectory", tmp_path, "-t", "nrrd", "--mergeSegments"
    )
    if given.prediction.spacing_mm is None:  # it measures in mm, so it refuses
        assert b"Failed to convert DICOM SEG" in done.stderr
        return
    image = SimpleITK.ReadImage(str(tmp_path / "1.nrrd"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), given.prediction.labels)
    rows, columns = given.prediction.spacing_mm
    np.testing.assert_allclose(image.GetSpacing(), [columns, rows, 1], rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_tid1500reader_reads_every_quantity(tmp_path, case, name):
    program, given = client("dcmqi", "bin", "tid1500reader"), case(name)
    done = run(program, "--inputDICOM", given.report, "--outputMetadata", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    groups = json.loads((tmp_path / "report.json").read_text())["Measurements"]
    found = [float(item["value"]) for group in groups for item in group.get("measurementItems", ())]
    wanted = [quantity.value for quantity in given.prediction.quantities if quantity.value is not None]
    np.testing.assert_allclose(sorted(found), sorted(wanted), rtol=1e-5)
