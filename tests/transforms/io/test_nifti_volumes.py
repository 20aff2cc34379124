"""Laws of NIfTI volumes: voxels where the header puts them, or a refusal that says what is wrong with it."""

import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pyraseg.transforms.errors import GeometryError, InputError, LabelError
from pyraseg.transforms.io.nifti_volumes import check_nifti_volume, read_nifti_labels, read_nifti_volume

VALUES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) - 50


def oblique(spacing=(0.7, 0.8, 3.0), degrees=20.0):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (degrees, -5, 3), degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = 12.5, -80.25, 400
    return affine


def write(folder: Path, values=VALUES, *, sform=None, qform=None, name="volume.nii.gz", **header) -> Path:
    image = nibabel.Nifti1Image(values, None, dtype=values.dtype)
    image.set_sform(sform, int(sform is not None))
    image.set_qform(qform, int(qform is not None), strip_shears=True)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, folder / name)
    return folder / name


@pytest.mark.parametrize("which", [{"sform"}, {"qform"}, {"sform", "qform"}], ids=sorted)
def test_voxels_lie_where_sform_or_qform_puts_them(tmp_path, which):
    values, affine = read_nifti_volume(write(tmp_path, **{key: oblique() for key in which}))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, VALUES)
    np.testing.assert_allclose(affine, oblique(), atol=1e-4)


def test_the_header_alone_gives_the_same_grid(tmp_path):
    path = write(tmp_path, sform=oblique())
    shape, affine = check_nifti_volume(path)
    assert shape == VALUES.shape
    np.testing.assert_array_equal(affine, read_nifti_volume(path)[1])


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
def test_lengths_are_millimetres_whatever_the_unit_of_the_header(tmp_path, unit, factor):
    written = oblique() / [[factor], [factor], [factor], [1.0]]
    _, affine = read_nifti_volume(write(tmp_path, sform=written, xyzt_units=unit))
    np.testing.assert_allclose(affine[:3], oblique()[:3], rtol=1e-4)


def test_further_axes_of_length_one_are_dropped(tmp_path):
    values, _ = read_nifti_volume(write(tmp_path, VALUES[..., None, None], sform=oblique()))
    np.testing.assert_array_equal(values, VALUES)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 2)])
def test_what_is_no_single_volume_is_refused(tmp_path, shape):
    with pytest.raises(InputError, match="three axes"):
        read_nifti_volume(write(tmp_path, np.zeros(shape, np.int16), sform=oblique()))


def test_without_sform_and_qform_the_place_is_not_guessed(tmp_path):
    with pytest.raises(GeometryError, match="neither sform nor qform"):
        read_nifti_volume(write(tmp_path))


def sheared():
    affine = oblique()
    affine[:3, 2] += affine[:3, 1]
    return affine


@pytest.mark.parametrize(
    ("affine", "reason"),
    [
        (np.diag([1, 1, 0, 1.0]), "singular"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        (sheared(), "perpendicular"),
    ],
)
def test_an_affine_that_places_no_voxels_is_refused(tmp_path, affine, reason):
    with pytest.raises(GeometryError, match=reason):
        read_nifti_volume(write(tmp_path, sform=affine))


def patch(path: Path, offset: int, value: float) -> Path:
    """Write a float into the header, which nibabel would correct."""
    content = bytearray(path.read_bytes())
    content[offset : offset + 4] = np.float32(value).tobytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("offset", [280, 288, 292, 324])  # of srow_x, srow_y, srow_z
def test_a_sform_that_holds_no_numbers_is_refused(tmp_path, offset):
    for value in (np.nan, np.inf):
        path = patch(write(tmp_path, sform=oblique(), name="volume.nii"), offset, value)
        with pytest.raises(GeometryError, match="NaN"):
            read_nifti_volume(path)


@pytest.mark.parametrize("offset", [84, 256, 268])  # of pixdim, quatern_b, qoffset_x
def test_a_qform_that_holds_no_numbers_is_refused(tmp_path, offset):
    for affines in ({"qform": oblique()}, {"qform": oblique(), "sform": oblique()}):
        path = patch(write(tmp_path, name="volume.nii", **affines), offset, np.nan)
        with pytest.raises(GeometryError, match=r"NaN|without numbers"):
            read_nifti_volume(path)


def test_a_voxel_size_of_zero_is_not_taken_for_one_millimetre(tmp_path):
    path = patch(write(tmp_path, qform=oblique(), name="volume.nii"), 80, 0)
    with pytest.raises(GeometryError, match="singular"):
        read_nifti_volume(path)


def test_sform_and_qform_that_place_the_voxels_differently_are_refused(tmp_path):
    moved = oblique()
    moved[0, 3] += 1
    with pytest.raises(GeometryError, match=r"1\.00 mm apart"):
        read_nifti_volume(write(tmp_path, sform=oblique(), qform=moved))


def test_a_qform_that_only_its_rounding_turns_is_no_disagreement(tmp_path):
    for degrees in (179.9, 179.7, 179.0):
        affine = oblique(degrees=degrees)
        np.testing.assert_allclose(
            read_nifti_volume(write(tmp_path, sform=affine, qform=affine))[1], affine, atol=1e-4
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_refused_and_counted(tmp_path, value):
    values = VALUES.astype(np.float32)
    values[0, :3, 1] = value
    with pytest.raises(InputError, match="3 NaN or infinite"):
        read_nifti_volume(write(tmp_path, values, sform=oblique()))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64, np.int64])
def test_labels_are_whole_numbers_however_they_are_stored(tmp_path, dtype):
    labels, affine = read_nifti_labels(write(tmp_path, np.abs(VALUES).astype(dtype), sform=oblique()))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, np.abs(VALUES))
    np.testing.assert_allclose(affine, oblique(), atol=1e-4)


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_fractions_and_nan_are_no_labels(tmp_path, value):
    values = VALUES.astype(np.float32)
    values[1, 1, 1] = value
    with pytest.raises(LabelError, match="whole numbers"):
        read_nifti_labels(write(tmp_path, values, sform=oblique()))


def test_labels_beyond_32_bits_are_refused(tmp_path):
    with pytest.raises(LabelError, match="32 bits"):
        read_nifti_labels(write(tmp_path, np.full((2, 2, 2), 2**40), sform=oblique()))


def test_colours_and_complex_numbers_are_refused(tmp_path):
    colours = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for values in (colours, np.zeros((4, 5, 6), np.complex64)):
        with pytest.raises(InputError, match="colours or complex"):
            read_nifti_volume(write(tmp_path, values, sform=oblique()))


@pytest.mark.parametrize("name", ["volume.nii", "volume.nii.gz"])
def test_a_file_cut_off_anywhere_is_an_input_error(tmp_path, name):
    whole = write(tmp_path, sform=oblique(), name=name).read_bytes()
    path = tmp_path / f"cut_{name}"
    for length in range(0, len(whole) - 1, 13):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_nifti_volume(path)


def test_what_is_no_nifti_is_an_input_error_without_its_path(tmp_path):
    path = tmp_path / "person.nii.gz"
    for content in (b"", b"text", None):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_nifti_volume(path)
        assert "person" not in str(caught.value)
        assert caught.value.path == str(path)


def test_a_header_of_terabytes_is_refused_and_not_believed(tmp_path):
    path = write(tmp_path, sform=oblique(), name="volume.nii")
    content = bytearray(path.read_bytes())
    content[40:48] = np.array([3, 32000, 32000, 32000], "<i2").tobytes()
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_nifti_volume(path)


def test_real_images_and_masks_lie_on_one_grid(shared_data):
    folder = shared_data / "sarcoma" / "mr"
    image, affine = read_nifti_volume(folder / "STS_015_image.nii.gz")
    mask, same = read_nifti_labels(folder / "STS_015_mask.nii.gz")
    assert image.shape == mask.shape
    np.testing.assert_array_equal(affine, same)
    assert set(np.unique(mask)) == {0, 1}


@pytest.mark.parametrize("side", [1e-7, 1e-4, 101.0, 1e30])
def test_voxels_of_a_size_that_none_can_have_are_refused_by_their_size(tmp_path, side):
    with pytest.raises(GeometryError, match="voxels of"):
        read_nifti_volume(write(tmp_path, sform=np.diag([1.0, side, 1.0, 1.0])))


def test_a_place_outside_any_room_is_refused(tmp_path):
    affine = np.eye(4)
    affine[0, 3] = 1e30
    with pytest.raises(GeometryError, match="100 m away"):
        read_nifti_volume(write(tmp_path, sform=affine))


@pytest.mark.parametrize("header", [{"scl_slope": 1e37}, {"scl_inter": 3e38, "scl_slope": 1e37}])
def test_a_scale_beyond_single_precision_is_refused(tmp_path, header):
    path = write(tmp_path, sform=oblique(), name="volume.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<2f", content, 112, header["scl_slope"], header.get("scl_inter", 0.0))
    path.write_bytes(content)
    with pytest.raises(InputError, match="finite values"):
        read_nifti_volume(path)
