"""Readers in Python and JavaScript: highdicom, pydicom-seg, rt-utils and cornerstone's adapters."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import dcmread

from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from tests.clients.conftest import CASES, client, run
from tests.pipeline.writers.volume_cases import ALGORITHM, SEGMENTS, read
from tests.transforms.dicom.series_cases import stored_values, write_series

PYDICOM_SEG = """
import sys, numpy, pydicom, pydicom_seg
result = pydicom_seg.MultiClassReader().read(pydicom.dcmread(sys.argv[1]))
numpy.savez(sys.argv[2], labels=result.data, spacing=result.spacing)
"""
RT_UTILS = """
import sys, numpy
from rt_utils import RTStructBuilder
structures = RTStructBuilder.create_from(dicom_series_path=sys.argv[1], rt_struct_path=sys.argv[2])
masks = {name: structures.get_roi_mask_by_name(name) for name in structures.get_roi_names()}
numpy.savez(sys.argv[3], **masks)
"""


@pytest.mark.parametrize("name", CASES)
def test_highdicom_finds_the_mask_of_every_frame(case, name):
    given = case(name)
    dataset = dcmread(given.seg)
    if given.prediction.spacing_mm is None:  # it wants a spacing where there are Pixel Measures
        del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    seg = highdicom.seg.Segmentation.from_dataset(dataset)
    uid, frames = given.prediction.source.sop_instance_uid, len(given.prediction.labels)
    if frames > 1:
        found = seg.get_pixels_by_source_frame(uid, [*range(1, frames + 1)], combine_segments=True)
    else:
        found = seg.get_pixels_by_source_instance([uid], combine_segments=True)
    np.testing.assert_array_equal(found, given.prediction.labels)


@pytest.mark.parametrize("name", CASES)
def test_pydicom_seg_finds_the_mask_of_every_frame(tmp_path, case, name):
    python, given = client("pydicom-seg", "bin", "python"), case(name)
    done = run(python, "-c", PYDICOM_SEG, given.seg, tmp_path / "read.npz")
    if given.prediction.spacing_mm is None:  # it wants a spacing
        assert b"PixelSpacing" in done.stderr
        return
    found = np.load(tmp_path / "read.npz")
    np.testing.assert_array_equal(found["labels"], given.prediction.labels)
    rows, columns = given.prediction.spacing_mm
    np.testing.assert_allclose(found["spacing"], [columns, rows, 1], rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_adapters_of_cornerstone_find_the_mask_of_every_frame(case, name):
    modules, given = client("node", "node_modules", "@cornerstonejs"), case(name)
    script = Path(__file__).with_name("adapters.mjs")
    done = run("node", script, modules.parents[1], given.seg, given.source)
    found = np.frombuffer(done.stdout, np.uint8)
    assert found.size == given.prediction.labels.size, done.stderr
    np.testing.assert_array_equal(found.reshape(given.prediction.labels.shape), given.prediction.labels)


def test_rt_utils_finds_the_mask_of_every_slice(tmp_path):
    python = client("rt-utils", "bin", "python")

    def square(_, dataset):  # rt-utils 1.2.7 takes rows for columns
        dataset.PixelSpacing = [0.75, 0.75]

    folder = write_series(tmp_path / "series", stored_values(6, 40, 40), edit=square)
    volume = read(folder)
    labels = np.zeros(volume.grid.shape, np.uint8)
    labels[5:20, 8:30, 1:5] = 1
    labels[12:16, 30:36, 2:4] = 2
    written = write_rtstruct(
        tmp_path / "rt.dcm", labels, volume.source, segments=SEGMENTS, algorithm=ALGORITHM
    )
    done = run(python, "-c", RT_UTILS, folder, written.path, tmp_path / "read.npz")
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "read.npz")
    for value, name in enumerate(("tumour", "bone"), start=1):
        np.testing.assert_array_equal(found[name], np.swapaxes(labels == value, 0, 1))
