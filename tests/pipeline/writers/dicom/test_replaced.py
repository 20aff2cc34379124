"""Results can be told apart in a viewer, and a newer one names the earlier one or takes its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread

from pyraseg.pipeline.writers.dicom.object import replaced_objects
from pyraseg.pipeline.writers.dicom.rtstruct import write_rtstruct
from pyraseg.pipeline.writers.dicom.seg import KINDS, write_seg
from pyraseg.pipeline.writers.dicom.sr import write_sr
from tests.pipeline.writers.dicom.test_rtstruct import series_of
from tests.pipeline.writers.dicom_cases import ALGORITHM, SEGMENTS, predict, probabilities, write_source
from tests.pipeline.writers.dicom_checkers import errors, needs
from tests.transforms.dicom.label_cases import oblique_grid

NEWER = replace(ALGORITHM, version="0.2.0", weights="7a" * 32)


@pytest.fixture
def prediction(tmp_path):
    return predict(write_source(tmp_path / "source.dcm"))


@pytest.fixture
def series(tmp_path):
    return series_of(tmp_path / "images", oblique_grid())


def write_all(folder, prediction, series):
    """The written SEG, SR and RTSTRUCT."""
    folder.mkdir(exist_ok=True)
    seg = write_seg(folder / "seg.dcm", prediction)
    write_sr(folder / "sr.dcm", prediction, seg=seg)
    options = {"segments": SEGMENTS, "algorithm": prediction.algorithm, "replaced": prediction.replaced}
    labels = np.ones(series.grid.shape, np.uint8)
    write_rtstruct(folder / "rtstruct.dcm", labels, series, **options)
    return [dcmread(folder / name) for name in ("seg.dcm", "sr.dcm", "rtstruct.dcm")]


def test_series_of_every_kind_differ_in_number_and_description_which_names_the_model(
    tmp_path, prediction, series
):
    prediction = replace(prediction, probabilities=probabilities(prediction))
    kinds = [dcmread(write_seg(tmp_path / f"{kind}.dcm", prediction, kind=kind).path) for kind in KINDS]
    objects = [*kinds, *write_all(tmp_path / "out", prediction, series)[1:]]
    assert len({item.SeriesNumber for item in objects}) == len(objects)
    assert len({item.SeriesDescription for item in objects}) == len(objects)
    for item, kind in zip(objects, ("SEG", "SEG", "SEG", "SR", "RTSTRUCT"), strict=True):
        assert kind in item.SeriesDescription
        assert f"{ALGORITHM.bundle} {ALGORITHM.version}" in item.SeriesDescription


def test_a_newer_models_results_are_objects_of_their_own_that_name_the_earlier_ones(
    tmp_path, prediction, series
):
    earlier = write_all(tmp_path / "earlier", prediction, series)
    assert not any("RelatedSeriesSequence" in item for item in earlier)
    replaced = replaced_objects(tmp_path / "earlier", keep_uids=False)
    newer = replace(prediction, algorithm=NEWER, replaced=replaced)
    seg, sr, rtstruct = write_all(tmp_path / "newer", newer, series)
    for item, former in zip((seg, sr, rtstruct), earlier, strict=True):
        assert item.SOPInstanceUID != former.SOPInstanceUID
        assert item.SeriesDescription != former.SeriesDescription
        (related,) = item.RelatedSeriesSequence
        assert (related.StudyInstanceUID, related.SeriesInstanceUID) == (
            former.StudyInstanceUID,
            former.SeriesInstanceUID,
        )
    (study,) = sr.PredecessorDocumentsSequence
    (former,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert former.ReferencedSOPInstanceUID == earlier[1].SOPInstanceUID
    (former,) = rtstruct.PredecessorStructureSetSequence
    assert former.ReferencedSOPInstanceUID == earlier[2].SOPInstanceUID


def test_results_that_replace_others_keep_their_uids_and_refer_to_each_other_by_them(
    tmp_path, prediction, series
):
    earlier = write_all(tmp_path / "earlier", prediction, series)
    replaced = replaced_objects(tmp_path / "earlier", keep_uids=True)
    newer = write_all(tmp_path / "newer", replace(prediction, algorithm=NEWER, replaced=replaced), series)
    for item, former in zip(newer, earlier, strict=True):
        assert (item.SOPInstanceUID, item.SeriesInstanceUID) == (
            former.SOPInstanceUID,
            former.SeriesInstanceUID,
        )
        assert item.DeviceSerialNumber == NEWER.weights
        assert "RelatedSeriesSequence" not in item
    evidence = newer[1].CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[1]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == earlier[0].SOPInstanceUID


def test_an_object_of_another_class_is_not_replaced(tmp_path, prediction):
    write_seg(tmp_path / "seg.dcm", prediction, kind="labelmap")
    replaced = replaced_objects(tmp_path, keep_uids=True)
    written = write_seg(tmp_path / "new.dcm", replace(prediction, replaced=replaced))
    assert written.sop_instance_uid == write_seg(tmp_path / "new.dcm", prediction).sop_instance_uid


def test_a_broken_earlier_object_counts_for_none(tmp_path):
    (tmp_path / "seg.dcm").write_bytes(b"\0" * 200)
    assert replaced_objects(tmp_path, keep_uids=True) == {}


@needs("dciodvfy")
def test_results_that_name_earlier_ones_are_valid(tmp_path, prediction, series):
    write_all(tmp_path / "earlier", prediction, series)
    replaced = replaced_objects(tmp_path / "earlier", keep_uids=False)
    write_all(tmp_path / "newer", replace(prediction, algorithm=NEWER, replaced=replaced), series)
    for path in (tmp_path / "newer").iterdir():
        assert errors(path) == []
