"""Laws of NIfTI label maps: every reader sees the same frame."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK

from pyraseg.pipeline.writers.nifti import write_label, write_labels, write_probabilities
from pyraseg.transforms.errors import GeometryError, LabelError, OutputError
from pyraseg.transforms.io.frames import LoadFramed


@pytest.fixture
def mask():
    """37 rows x 53 columns, like none of its mirror images or rotations."""
    labels = np.zeros((37, 53), np.uint8)
    labels[4:20, 6:45] = 1
    labels[8:12, 30:44] = 2
    return labels


@pytest.mark.parametrize("name", ["m.nii.gz", "m.nii"])
def test_nibabel_reads_the_mask_columns_first(tmp_path, mask, name):
    image = nibabel.load(write_label(tmp_path / name, mask))
    assert image.shape == (53, 37, 1)
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj)[:, :, 0].T, mask)


def test_simpleitk_reads_the_mask_in_its_own_order(tmp_path, mask):
    image = SimpleITK.ReadImage(str(write_label(tmp_path / "m.nii.gz", mask, spacing_mm=(0.25, 0.125))))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image)[0], mask)
    assert image.GetPixelIDValue() == SimpleITK.sitkUInt8


def test_the_geometry_is_the_one_that_itk_itself_writes(tmp_path, mask):
    frame = SimpleITK.GetImageFromArray(mask[None])
    frame.SetSpacing((0.125, 0.25, 1.0))
    SimpleITK.WriteImage(frame, str(tmp_path / "itk.nii.gz"))
    theirs = nibabel.load(tmp_path / "itk.nii.gz")
    ours = nibabel.load(write_label(tmp_path / "ours.nii.gz", mask, spacing_mm=(0.25, 0.125)))
    np.testing.assert_allclose(ours.affine, theirs.affine)
    np.testing.assert_allclose(ours.get_qform(), theirs.get_qform())
    assert ours.header.get_zooms() == theirs.header.get_zooms() == (0.125, 0.25, 1.0)
    read = SimpleITK.ReadImage(str(tmp_path / "ours.nii.gz"))
    assert read.GetSpacing() == frame.GetSpacing()
    np.testing.assert_allclose(read.GetDirection(), frame.GetDirection())
    np.testing.assert_allclose(read.GetOrigin(), frame.GetOrigin())


def test_a_calibrated_mask_is_in_millimetres(tmp_path, mask):
    header = nibabel.load(write_label(tmp_path / "m.nii.gz", mask, spacing_mm=(0.3, 0.2))).header
    assert header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(header.get_zooms(), (0.2, 0.3, 1.0), rtol=1e-6)


def test_an_uncalibrated_mask_says_so_and_claims_no_unit(tmp_path, mask):
    path = write_label(tmp_path / "m.nii.gz", mask)
    header = nibabel.load(path).header
    assert header.get_xyzt_units()[0] == "unknown"
    assert header.get_zooms() == (1.0, 1.0, 1.0)
    assert b"uncalibrated" in header["descrip"].item()
    assert SimpleITK.ReadImage(str(path)).GetSpacing() == (1.0, 1.0, 1.0)


def test_the_gzip_header_carries_no_time_and_no_name(tmp_path, mask):
    content = write_label(tmp_path / "m.nii.gz", mask).read_bytes()
    assert content[3] == 0  # no name, no comment
    assert content[4:8] == bytes(4)
    assert len(gzip.decompress(content)) == 352 + mask.size


def test_masks_of_other_integers_and_of_integral_floats_are_the_same_file(tmp_path, mask):
    one = write_label(tmp_path / "a.nii.gz", mask).read_bytes()
    assert write_label(tmp_path / "b.nii.gz", mask.astype(np.int64)).read_bytes() == one
    assert write_label(tmp_path / "c.nii.gz", mask.astype(np.float32)).read_bytes() == one


@pytest.mark.parametrize("spacing_mm", [(0.3, 0.2), None])
def test_the_frame_reader_gives_mask_and_spacing_back(tmp_path, mask, spacing_mm):
    path = write_label(tmp_path / "m.nii.gz", mask, spacing_mm=spacing_mm)
    loaded = LoadFramed("label")({"label": str(path)})["label"]
    np.testing.assert_array_equal(np.asarray(loaded), mask[None])
    found = loaded.meta.get("spacing_mm")
    assert found is None if spacing_mm is None else found == pytest.approx(spacing_mm, rel=1e-6)


@pytest.mark.parametrize("value", [256, -1, 0.5, float("nan")])
def test_a_value_that_bytes_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(LabelError):
        write_label(tmp_path / "m.nii.gz", np.full((3, 4), value))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(1, 3, 4), (3,), (0, 4)])
def test_a_mask_that_is_no_frame_is_refused(tmp_path, shape):
    with pytest.raises(GeometryError):
        write_label(tmp_path / "m.nii.gz", np.zeros(shape, np.uint8))


@pytest.mark.parametrize("spacing_mm", [(0.0, 1.0), (0.2, -0.2), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_a_spacing_that_is_no_length_is_refused(tmp_path, mask, spacing_mm):
    with pytest.raises(GeometryError):
        write_label(tmp_path / "m.nii.gz", mask, spacing_mm=spacing_mm)


def test_another_extension_is_refused(tmp_path, mask):
    with pytest.raises(OutputError):
        write_label(tmp_path / "m.png", mask)


@pytest.fixture
def cine(mask):
    """The mask on its way to the right, seven frames."""
    return np.stack([np.roll(mask, shift, axis=1) for shift in range(7)])


def test_a_single_frame_is_the_same_file_as_a_label_map_of_one_frame_whatever_the_time(tmp_path, mask):
    one = write_label(tmp_path / "a.nii.gz", mask, spacing_mm=(0.3, 0.2)).read_bytes()
    options = {"spacing_mm": (0.3, 0.2), "frame_time_ms": 40.0}
    assert write_labels(tmp_path / "b.nii.gz", mask[None], **options).read_bytes() == one


@pytest.mark.parametrize("name", ["c.nii.gz", "c.nii"])
def test_nibabel_and_simpleitk_read_every_frame_of_a_cine_bit_for_bit_and_upright(tmp_path, cine, name):
    path = write_labels(tmp_path / name, cine, spacing_mm=(0.3, 0.2), frame_time_ms=40.0)
    theirs = nibabel.load(path)
    assert theirs.shape == (53, 37, 1, 7)
    np.testing.assert_array_equal(np.asarray(theirs.dataobj)[:, :, 0].transpose(2, 1, 0), cine)
    image = SimpleITK.ReadImage(str(path))
    assert image.GetPixelIDValue() == SimpleITK.sitkUInt8
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image)[:, 0], cine)
    np.testing.assert_allclose(image.GetSpacing(), (0.2, 0.3, 1.0, 0.04), rtol=1e-6)
    np.testing.assert_array_equal(np.reshape(image.GetDirection(), (4, 4)), np.eye(4))


def test_the_time_of_a_cine_is_in_seconds_and_an_unknown_one_has_no_unit(tmp_path, cine):
    timed = nibabel.load(write_labels(tmp_path / "t.nii.gz", cine, frame_time_ms=33.3)).header
    assert timed.get_xyzt_units() == ("unknown", "sec")
    assert timed.get_zooms()[3] == pytest.approx(0.0333)
    header = nibabel.load(write_labels(tmp_path / "u.nii.gz", cine, spacing_mm=(0.3, 0.2))).header
    assert header.get_xyzt_units() == ("mm", "unknown")
    assert header.get_zooms()[3] == 1


def test_a_cine_of_which_a_part_is_in_memory_gives_the_same_file(tmp_path, cine):
    mapped = np.memmap(tmp_path / "labels.bin", np.uint8, "w+", shape=cine.shape)
    mapped[:] = cine
    one = write_labels(tmp_path / "a.nii.gz", cine).read_bytes()
    assert write_labels(tmp_path / "b.nii.gz", mapped).read_bytes() == one


@pytest.mark.parametrize("frames", [1, 7])
def test_probabilities_are_read_to_within_a_step_of_a_byte_by_both_readers(tmp_path, frames):
    values = (
        np.random.default_rng(0)
        .dirichlet((1, 1, 1), (frames, 37, 53))
        .transpose(0, 3, 1, 2)
        .astype(np.float32)
    )
    path = write_probabilities(tmp_path / "p.nii.gz", values, spacing_mm=(0.3, 0.2), frame_time_ms=40.0)
    theirs = nibabel.load(path)
    assert theirs.shape == (53, 37, 1, frames, 3)
    np.testing.assert_allclose(
        theirs.get_fdata()[:, :, 0].transpose(2, 3, 1, 0), values, atol=0.5 / 255 + 1e-6
    )
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))  # (K, F, 1, H, W)
    np.testing.assert_allclose(image[:, :, 0].swapaxes(0, 1), values, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(tmp_path, value):
    with pytest.raises(LabelError):
        write_probabilities(tmp_path / "p.nii.gz", np.full((1, 2, 3, 4), value, np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("time", [0.0, -40.0, float("nan")])
def test_a_time_that_does_not_pass_is_refused(tmp_path, cine, time):
    with pytest.raises(GeometryError):
        write_labels(tmp_path / "c.nii.gz", cine, frame_time_ms=time)


def test_a_cine_that_is_no_stack_of_frames_is_refused(tmp_path, mask):
    with pytest.raises(GeometryError):
        write_labels(tmp_path / "c.nii.gz", mask)
    with pytest.raises(GeometryError):
        write_probabilities(tmp_path / "p.nii.gz", mask[None])
