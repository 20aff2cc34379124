"""A series becomes a volume of HU, SUV or MR intensities, from every kind of pixel data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import DataElement, uid

from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import GeometryError, InputError
from tests.transforms.dicom.series_cases import (
    mapping,
    oblique,
    set_pixels,
    stored_values,
    write_enhanced,
    write_series,
)


def read(source, **options):
    return read_series(the_series(find_series(source)), **options)


def by_xyz(values):
    return values.transpose(2, 1, 0)


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.RLELossless,
        uid.JPEGLSLossless,
        uid.JPEG2000Lossless,
    ],
    ids=lambda syntax: syntax.name[:30],
)
@pytest.mark.parametrize(
    ("bits_stored", "kind", "lowest"),
    [(12, np.uint16, 0), (16, np.uint16, 0), (12, np.int16, -100), (16, np.int16, -999)],
)
def test_stored_values_of_every_kind_become_hu(tmp_path, syntax, bits_stored, kind, lowest):
    values = (stored_values(3, 32, 34) % 2000 + lowest).astype(kind)
    volume = read(write_series(tmp_path, values, syntax=syntax, bits_stored=bits_stored))
    assert (volume.array.dtype, volume.unit) == (np.int16, "HU")
    np.testing.assert_array_equal(volume.array, by_xyz(values.astype(int) - 1024))


def test_bits_above_those_stored_are_no_part_of_the_value(tmp_path):
    values = stored_values()

    def overlay(index, dataset):
        set_pixels(dataset, (values[index] | 0x4000).astype(np.uint16)[None], bits_stored=12)

    np.testing.assert_array_equal(read(write_series(tmp_path, edit=overlay)).array, by_xyz(values) - 1024)


def test_every_slice_has_its_own_rescale(tmp_path):
    def rescale(index, dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + index, -10 * index

    volume = read(write_series(tmp_path, edit=rescale))
    index = np.arange(5)[:, None, None]
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, by_xyz(stored_values() * (0.5 + index) - 10 * index))


@pytest.mark.parametrize(("top", "intercept"), [(65535, -1024), (40000, 0), (0, -40000)])
def test_values_that_int16_cannot_hold_come_as_float(tmp_path, top, intercept):
    values = stored_values().astype(np.uint16)
    values[2, 1, 1] = top

    def rescale(index, dataset):
        dataset.RescaleIntercept = intercept

    volume = read(write_series(tmp_path, values, edit=rescale))
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, by_xyz(values.astype(int) + intercept))


@pytest.mark.parametrize(("kind", "padding", "written"), [(np.int16, -2000, -2000), (np.int16, -2000, 63536)])
def test_padding_becomes_air(tmp_path, kind, padding, written):
    values = stored_values().astype(kind)
    values[:, 0, :3] = padding

    def pad(index, dataset):
        dataset.RescaleIntercept = 0
        dataset.add_new(0x00280120, "SS" if written < 0 else "US", written)

    expected = np.where(values == padding, -1000, values)
    np.testing.assert_array_equal(read(write_series(tmp_path, values, edit=pad)).array, by_xyz(expected))


def test_a_range_of_padding_becomes_air(tmp_path):
    values = stored_values()
    values[:, 0, :3] = [-3000, -2500, -2000]

    def pad(index, dataset):
        dataset.RescaleIntercept = 0
        dataset.add_new(0x00280120, "SS", -2000)
        dataset.add_new(0x00280121, "SS", -3000)

    array = read(write_series(tmp_path, values, edit=pad)).array
    assert (array[:3, 0] == -1000).all()
    assert (array[3:] >= 0).all()


def test_a_padding_value_that_tissue_has_too_stays(tmp_path):
    def pad(index, dataset):
        dataset.RescaleIntercept = 0
        dataset.add_new(0x00280120, "SS", 40)

    np.testing.assert_array_equal(read(write_series(tmp_path, edit=pad)).array, by_xyz(stored_values()))


def test_ct_in_other_units_is_refused_unless_they_are_taken_for_hu(tmp_path):
    def unspecified(index, dataset):
        dataset.RescaleType = "US"

    write_series(tmp_path, edit=unspecified)
    with pytest.raises(InputError, match=r"0028,1054.*found US.*assume_hu"):
        read(tmp_path)
    np.testing.assert_array_equal(read(tmp_path, assume_hu=True).array, by_xyz(stored_values()) - 1024)


@pytest.mark.parametrize(("slope", "words"), [(0, "not 0"), (None, "found none")])
def test_a_ct_without_a_rescale_that_means_something_is_refused(tmp_path, slope, words):
    def rescale(index, dataset):
        dataset.RescaleSlope = slope

    with pytest.raises(InputError, match=rf"Rescale Slope.*{words}"):
        read(write_series(tmp_path, edit=rescale))


def test_mr_has_its_stored_values_or_its_rescale(tmp_path):
    def rescale(index, dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = 2.5, 1

    plain = read(write_series(tmp_path / "plain", modality="MR"))
    assert (plain.unit, plain.array.dtype) == ("", np.int16)
    np.testing.assert_array_equal(plain.array, by_xyz(stored_values()))
    scaled = read(write_series(tmp_path / "scaled", modality="MR", edit=rescale))
    np.testing.assert_allclose(scaled.array, by_xyz(stored_values() * 2.5 + 1))


@pytest.mark.parametrize(("unit", "expected"), [("1", ""), ("um2/s", "um2/s")])
def test_mr_honours_its_real_world_value_mapping_on_stored_values(tmp_path, unit, expected):
    def mapped(index, dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = 7, 7
        dataset.RealWorldValueMappingSequence = [mapping(0.25, -3, unit)]

    volume = read(write_series(tmp_path, modality="MR", edit=mapped))
    assert volume.unit == expected
    np.testing.assert_allclose(volume.array, by_xyz(stored_values() * 0.25 - 3))


def test_mr_with_two_mappings_is_refused(tmp_path):
    def mapped(index, dataset):
        dataset.RealWorldValueMappingSequence = [mapping(0.25, 0, "1"), mapping(0.5, 0, "ms")]

    with pytest.raises(InputError, match="found 2 of them"):
        read(write_series(tmp_path, modality="MR", edit=mapped))


def test_an_inverted_photometric_interpretation_changes_no_value(tmp_path):
    def invert(index, dataset):
        dataset.PhotometricInterpretation = "MONOCHROME1"

    np.testing.assert_array_equal(
        read(write_series(tmp_path, edit=invert)).array, by_xyz(stored_values()) - 1024
    )


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
def test_an_enhanced_image_is_the_volume_of_its_frames(tmp_path, syntax):
    path = write_enhanced(
        tmp_path / "image.dcm", stored_values(5, 32, 34), orientation=oblique(), syntax=syntax
    )
    volume = read([path])
    np.testing.assert_array_equal(volume.array, by_xyz(stored_values(5, 32, 34)) - 1024)
    classic = read(write_series(tmp_path / "classic", stored_values(5, 32, 34), orientation=oblique()))
    np.testing.assert_allclose(volume.grid.affine, classic.grid.affine, atol=1e-9)
    assert volume.source.frames == (4, 3, 2, 1, 0)


def test_an_enhanced_image_of_two_time_points_has_two_stacks(tmp_path):
    from pydicom import Dataset

    def times(dataset):
        for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            content = Dataset()
            content.TemporalPositionIndex = 1 + index % 2
            groups.FrameContentSequence = [content]
            groups.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 3 * (index // 2)]

    path = write_enhanced(tmp_path / "image.dcm", stored_values(6), modality="MR", edit=times)
    with pytest.raises(GeometryError, match=r"3 slices.*time point 1.*3 slices.*time point 2"):
        read(path)
    assert read(path, stack=2).source.frames == (1, 3, 5)


def test_functional_groups_that_do_not_cover_the_frames_are_refused(tmp_path):
    def drop(dataset):
        dataset.PerFrameFunctionalGroupsSequence = list(dataset.PerFrameFunctionalGroupsSequence)[:-1]

    with pytest.raises(InputError, match="each of 5 frames"):
        read(write_enhanced(tmp_path / "image.dcm", edit=drop))


def test_a_header_that_claims_more_than_its_file_holds_is_refused_before_memory_is_taken(tmp_path):
    def lie(index, dataset):
        dataset.Rows = dataset.Columns = 5000

    with pytest.raises(InputError, match="bytes of pixel data"):
        read(write_series(tmp_path, edit=lie))


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_a_compressed_slice_of_another_size_than_stated_is_refused(tmp_path, syntax):
    def lie(index, dataset):
        dataset.Rows = dataset.Columns = 9000

    with pytest.raises(InputError):
        read(write_series(tmp_path, stored_values(3, 32, 34), syntax=syntax, edit=lie))


def test_a_slice_in_colour_is_refused(tmp_path):
    def paint(index, dataset):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit = 7
        dataset.PixelData = bytes(6 * 8 * 3)

    with pytest.raises(InputError, match="grey slices"):
        read(write_series(tmp_path, edit=paint))


def test_a_file_that_changed_since_it_was_found_is_refused(tmp_path):
    series = the_series(find_series(write_series(tmp_path)))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes() + b"\0\0")
    with pytest.raises(InputError, match="another one in its place"):
        read_series(series)


def test_threads_and_processes_give_what_one_worker_gives(tmp_path, monkeypatch):
    from pyraseg.transforms.dicom.series import volume as module

    monkeypatch.setattr(module, "WORTH_PROCESSES", 0)
    for syntax in (uid.ExplicitVRLittleEndian, uid.RLELossless):
        folder = write_series(tmp_path / syntax.name, stored_values(9), syntax=syntax)
        np.testing.assert_array_equal(read(folder, workers=2).array, read(folder, workers=1).array)


def test_a_process_passes_on_what_it_refuses(tmp_path, monkeypatch):
    from pyraseg.transforms.dicom.series import volume as module

    monkeypatch.setattr(module, "WORTH_PROCESSES", 0)
    series = the_series(find_series(write_series(tmp_path, stored_values(9), syntax=uid.RLELossless)))
    path = Path(series.planes[4].image.path)
    data = path.read_bytes()
    path.write_bytes(data[:-60] + b"\xff" * 60)
    with pytest.raises(InputError) as caught:
        read_series(series, workers=2)
    assert caught.value.path == str(path)


REAL = ["dicom/ct/chest_j2k_20slices", "dicom/mr/rle_4files", "sarcoma/dicom/STS_002/CT/image"]


@pytest.mark.parametrize(
    "name", [*REAL, "sarcoma/dicom/STS_002/MR_T1/image", "sarcoma/dicom/STS_002/PET/image"]
)
def test_real_series_are_where_simpleitk_puts_them_with_its_values(shared_data, name):
    import SimpleITK

    folder = shared_data / name
    volume = read(folder)
    image = SimpleITK.ReadImage(list(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))))
    _agree(volume, image)


def test_a_real_ct_of_unspecified_units_is_refused_and_read_on_request(shared_data):
    import SimpleITK

    folder = shared_data / "dicom" / "ct" / "small_17slices"
    with pytest.raises(InputError, match="found US"):
        read(folder)
    image = SimpleITK.ReadImage(list(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))))
    _agree(read(folder, assume_hu=True), image)


def test_a_real_enhanced_mr_is_where_simpleitk_puts_it(shared_data):
    import SimpleITK

    path = shared_data / "dicom" / "mr" / "philips_enhanced_8frames" / "IM-0001-0170-0001.dcm"
    _agree(read(path), SimpleITK.ReadImage(str(path)))


def _agree(volume, image):
    directions = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    np.testing.assert_allclose(volume.grid.affine_lps[:3, :3], directions, atol=1e-5)
    np.testing.assert_allclose(volume.grid.origin, image.GetOrigin(), atol=1e-3)
    values = their_values(image)
    np.testing.assert_allclose(volume.array, values, rtol=1e-6)


def their_values(image):
    import SimpleITK

    return SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)


@pytest.mark.parametrize(
    ("slope", "intercept"), [("1", "1e308"), ("1e300", "0"), ("-1e60", "0"), ("1e60", "-1e60")]
)
@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_a_rescale_beyond_single_precision_is_refused_by_the_values_that_it_gives(
    tmp_path, modality, slope, intercept
):
    def rescale(index, dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept

    with pytest.raises(InputError, match=r"single precision, found .*e\+"):
        read(write_series(tmp_path, modality=modality, edit=rescale))


@pytest.mark.parametrize("spacing", [[1e-9, 1], [1, 1e-320], [1, 150], [0, 1], [-1, 1]])
def test_pixels_of_a_size_that_none_can_have_are_refused_by_it(tmp_path, spacing):
    def edit(index, dataset):
        dataset.PixelSpacing = [f"{side:g}" for side in spacing]

    with pytest.raises(GeometryError, match=r"Pixel Spacing .* from 0.001 to 100 mm, found .* x .* mm"):
        read(write_series(tmp_path, edit=edit))


@pytest.mark.parametrize("step", [1e-9, 300.0])
def test_slices_at_a_distance_that_none_can_have_are_refused(tmp_path, step):
    def edit(index, dataset):
        dataset.ImagePositionPatient = [0, 0, index * step]

    with pytest.raises(GeometryError):
        read(write_series(tmp_path, edit=edit))


def test_a_place_outside_any_room_is_refused(tmp_path):
    def edit(index, dataset):
        dataset.ImagePositionPatient = ["1e30", "0", str(index)]

    with pytest.raises(GeometryError, match="100 m away"):
        read(write_series(tmp_path, edit=edit))


@pytest.mark.parametrize("value", ["inf", "nan", "0.5"])
def test_a_padding_value_that_is_no_whole_number_is_refused_by_its_name(tmp_path, value):
    def edit(index, dataset):
        dataset[0x00280120] = DataElement(0x00280120, "LO", value)

    with pytest.raises(InputError, match="Pixel Padding Value"):
        read(write_series(tmp_path, edit=edit))
