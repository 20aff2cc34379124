"""SUVbw of PET series by what their headers state; what cannot be computed is refused by the attribute's
name."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataelem import DataElement

from pyraseg.transforms.dicom.series.find import find_series, the_series
from pyraseg.transforms.dicom.series.volume import read_series
from pyraseg.transforms.errors import InputError
from tests.transforms.dicom.series_cases import mapping, stored_values, write_enhanced, write_series

HALF_LIFE, DOSE, WEIGHT = 6586.2, 370e6, 70
AN_HOUR_LATER = WEIGHT * 1000 / (DOSE * 2 ** (-3600 / HALF_LIFE))
START = "drug_RadiopharmaceuticalStart"
SLOPES = np.arange(1, 6)[:, None, None]  # as write_series has them


def read(source):
    return read_series(the_series(find_series(source)))


def factor(folder, edit=lambda index, dataset: None):
    """SUV per rescaled value of a synthetic series."""
    volume = read(write_series(folder, stored_values() + 1, modality="PT", edit=edit))
    assert (volume.unit, volume.array.dtype) == ("g/ml{SUVbw}", np.float32)
    rescaled = ((stored_values() + 1) * SLOPES).transpose(2, 1, 0)
    ratios = volume.array / rescaled
    np.testing.assert_allclose(ratios, ratios.flat[0], rtol=1e-5)
    return float(ratios.flat[0])


def setting(**values):
    """An edit of every slice: attributes of the data set, those of the tracer by ``drug_``; None removes
    one."""

    def edit(index, dataset):
        for name, value in values.items():
            drug = dataset.RadiopharmaceuticalInformationSequence[0]
            target, keyword = (
                (drug, name.removeprefix("drug_")) if name.startswith("drug_") else (dataset, name)
            )
            if value is None:
                delattr(target, keyword)
            else:
                setattr(target, keyword, value)

    return edit


def test_start_is_decayed_from_the_injection_to_the_scan_and_every_slice_has_its_slope(tmp_path):
    assert factor(tmp_path) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


def test_admin_takes_the_dose_as_it_is(tmp_path):
    assert factor(tmp_path, setting(DecayCorrection="ADMIN")) == pytest.approx(WEIGHT * 1000 / DOSE, rel=1e-5)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"DecayCorrection": "NONE"}, r"0054,1102.*found NONE"),
        ({"DecayCorrection": None}, r"0054,1102.*found none"),
        ({"CorrectedImage": ["DECY", "SCAT"]}, r"0028,0051.*no ATTN"),
        ({"CorrectedImage": "ATTN"}, r"0028,0051.*no DECY"),
        ({"PatientWeight": 0}, r"0010,1030.*found 0"),
        ({"PatientWeight": None}, r"0010,1030.*found none"),
        ({"drug_RadionuclideTotalDose": 0}, r"0018,1074.*found 0"),
        (
            {"drug_RadionuclideTotalDose": 370},
            r"0018,1074.*a dose of 370 Bq, as if written in MBq, which means 5\.3e-06",
        ),
        ({"drug_RadionuclideTotalDose": 370e3}, r"a dose of 370000 Bq, as if written in kBq"),
        ({"drug_RadionuclideTotalDose": 10}, r"a dose of 10 Bq, as if written in mCi"),
        ({"drug_RadionuclideTotalDose": 0.37}, r"a dose of 0\.37 Bq, as if written in GBq"),
        (
            {"drug_RadionuclideTotalDose": 370e9},
            r"found ones that do not fit, which means 5\.3e\+03 MBq per kg",
        ),
        (
            {"PatientWeight": 71000},
            r"0010,1030.*found a weight of 71000 kg, as if written in grams, which means 0\.005",
        ),
        ({"PatientWeight": 3500, "drug_RadionuclideTotalDose": 20e6}, r"3500 kg, as if written in grams"),
        ({"PatientWeight": 0.07}, r"0010,1030.*found a weight of 0\.07 kg, as if written in tonnes"),
        ({"drug_RadionuclideTotalDose": None}, r"0018,1074.*found none"),
        ({"drug_RadionuclideHalfLife": 0}, r"0018,1075.*found 0"),
        ({"drug_RadionuclideHalfLife": None}, r"0018,1075.*found none"),
        ({"drug_RadiopharmaceuticalStartTime": None}, r"0018,1078.*0018,1072.*neither"),
        ({"drug_RadiopharmaceuticalStartTime": "120000"}, r"0018,1072.*45 minutes after"),
        ({"drug_RadiopharmaceuticalStartDateTime": "20200102123000"}, r"0018,1078.*75 minutes after"),
        (
            {"drug_RadiopharmaceuticalStartDateTime": "20190102", "drug_RadiopharmaceuticalStartTime": ""},
            r"0018,1072.*neither",
        ),
        (
            {
                "drug_RadiopharmaceuticalStartDateTime": "20190102000000",
                "drug_RadiopharmaceuticalStartTime": "",
            },
            r"0018,1078.*half-lives",
        ),
        ({"drug_RadionuclideHalfLife": 109.77}, r"0018,1072.*33 half-lives"),
        ({"AcquisitionTime": None}, r"0008,0022.*0008,0032"),
        ({"SeriesTime": "114000"}, r"0008,0031.*0054,1300.*0018,1242"),
        ({"Units": "CM2ML"}, r"0054,1001.*found CM2ML"),
        ({"Units": "PROPCPS"}, r"0054,1001.*found PROPCPS"),
        ({"Units": None}, r"0054,1001.*found none"),
        ({"Units": "GML", "SUVType": "LBM"}, r"0054,1006.*found LBM"),
        ({"Units": "CNTS"}, r"7053,xx00.*7053,xx09"),
        ({"RescaleSlope": 0}, r"0028,1053.*not 0"),
        ({"RescaleSlope": None}, r"0028,1053.*found none"),
    ],
    ids=str,
)
def test_what_cannot_be_computed_is_refused_by_name(tmp_path, attributes, words):
    with pytest.raises(InputError, match=words):
        factor(tmp_path, setting(**attributes))


def test_text_that_is_no_code_is_not_quoted(tmp_path):
    with pytest.raises(InputError, match="an invalid one") as caught:
        factor(tmp_path, setting(Units="Sentinel Name"))
    assert "Sentinel" not in str(caught.value)


def test_a_scan_past_midnight_counts_from_the_evening_before(tmp_path):
    times = dict.fromkeys(("SeriesTime", "AcquisitionTime"), "001500")
    edit = setting(drug_RadiopharmaceuticalStartTime="231500", **times)
    assert factor(tmp_path, edit) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


def test_the_date_of_injection_is_preferred_to_the_time_alone(tmp_path):
    wrong = {"drug_RadiopharmaceuticalStartTime": "090000"}
    edit = setting(drug_RadiopharmaceuticalStartDateTime="20200102101500.0", **wrong)
    assert factor(tmp_path, edit) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


def test_a_moment_in_another_time_zone_is_converted(tmp_path):
    edit = setting(drug_RadiopharmaceuticalStartDateTime="20200102091500+0000", TimezoneOffsetFromUTC="+0100")
    assert factor(tmp_path, edit) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


def test_the_start_of_the_scan_is_that_of_the_earliest_slice(tmp_path):
    def beds(index, dataset):
        dataset.AcquisitionTime = f"1{1 + (20 + index) // 60}{(20 + index) % 60:02}00"

    assert factor(tmp_path, beds) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


REPLACED = {
    "1900": "19000102101500",
    "a year before": "20190102101500",
    "a week after": "20200109101530",
    "as a whole": "19000101000000",
    "as a whole, to the second": "20190714123456.789",
}


@pytest.mark.parametrize("moment", REPLACED.values(), ids=REPLACED)
def test_an_injection_whose_date_was_replaced_goes_by_the_times_of_day_with_a_note(tmp_path, moment):
    edit = setting(drug_RadiopharmaceuticalStartDateTime=moment)
    with pytest.warns(UserWarning, match=r"0018,1078.*60 minutes before the scan") as warned:
        assert factor(tmp_path, edit) == pytest.approx(AN_HOUR_LATER, rel=1e-5)
    assert not any(moment[:8] in str(each.message) or "2020" in str(each.message) for each in warned)


def test_the_evening_before_under_the_date_of_the_scan_counts_as_the_evening_before(tmp_path):
    moment = {
        "drug_RadiopharmaceuticalStartDateTime": "20200102231500",
        "drug_RadiopharmaceuticalStartTime": "",
    }
    edit = setting(SeriesTime="001500", AcquisitionTime="001500", **moment)
    with pytest.warns(UserWarning, match="60 minutes before the scan"):
        assert factor(tmp_path, edit) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


@pytest.mark.parametrize("moment", ["20200102101500", "19000102101500", ""])
def test_without_any_date_the_times_of_day_count(tmp_path, moment):
    dates = dict.fromkeys(("SeriesDate", "AcquisitionDate"), "")
    edit = setting(drug_RadiopharmaceuticalStartDateTime=moment, **dates)
    assert factor(tmp_path, edit) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


@pytest.mark.parametrize("hours", [12.7, 78.4, 100.3], ids=["Cu-64", "Zr-89", "I-124"])
def test_where_the_day_of_the_injection_matters_a_time_of_day_is_refused(tmp_path, hours):
    half_life = {"drug_RadionuclideHalfLife": hours * 3600}
    right = setting(drug_RadiopharmaceuticalStartDateTime="20200101101500", **half_life)
    expected = WEIGHT * 1000 / (DOSE * 2 ** (-25 / hours))
    assert factor(tmp_path / "right", right) == pytest.approx(expected, rel=1e-5)
    for name, moment in (("replaced", "19000101101500"), ("absent", "")):
        wrong = setting(drug_RadiopharmaceuticalStartDateTime=moment, **half_life)
        with pytest.raises(InputError, match=rf"0018,1078.*half-life of {hours:.0f} h"):
            factor(tmp_path / name, wrong)


def test_an_acquisition_may_be_stated_by_its_datetime_alone(tmp_path):
    moment = setting(AcquisitionDate=None, AcquisitionTime=None, AcquisitionDateTime="20200102112000.5")
    assert factor(tmp_path, moment) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


@pytest.mark.parametrize(
    "attributes", [{"DecayCorrection": "ADMIN"}, {"Units": "GML", "SUVType": "BW"}], ids=["ADMIN", "GML"]
)
@pytest.mark.parametrize("time", ["", "REMOVED"])
def test_times_that_are_not_needed_may_be_missing_or_broken(tmp_path, attributes, time):
    times = dict.fromkeys(("SeriesTime", "AcquisitionTime", "drug_RadiopharmaceuticalStartTime"), time)
    gone = dict.fromkeys(("SeriesDate", "AcquisitionDate"))
    expected = 1 if "Units" in attributes else WEIGHT * 1000 / DOSE
    assert factor(tmp_path, setting(**attributes, **times, **gone)) == pytest.approx(expected, rel=1e-5)


def test_small_animals_get_more_activity_per_kg_than_people(tmp_path):
    mouse = setting(PatientWeight=0.025, drug_RadionuclideTotalDose=8e6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert factor(tmp_path, mouse) == pytest.approx(25 / (8e6 * 2 ** (-3600 / HALF_LIFE)), rel=1e-5)


@pytest.mark.parametrize(("slope", "told"), [(0.1, True), (1, False), (1000, True)])
def test_a_mean_that_hardly_any_tracer_gives_is_noted(tmp_path, slope, told):
    def scale(index, dataset):
        dataset.RescaleSlope = slope * dataset.RescaleSlope

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(write_series(tmp_path, stored_values() + 1, modality="PT", edit=scale))
    assert any("mean SUV" in str(each.message) for each in caught) == told


def private_scan(time):
    def edit(index, dataset):
        block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", f"20200102{time}")

    return edit


def test_a_private_scan_time_of_ge_that_contradicts_series_time_is_noted_with_both(tmp_path):
    with pytest.warns(UserWarning, match=r"11:15:00 by.*11:30:00 by.*15 minutes apart.*\+10%"):
        assert factor(tmp_path / "a", private_scan("113000.00")) == pytest.approx(AN_HOUR_LATER, rel=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        factor(tmp_path / "b", private_scan("111530.00"))


def test_ge_states_the_scan_privately_where_the_series_time_is_later(tmp_path):
    def private(index, dataset):
        dataset.SeriesTime = "150000"
        private_scan("111500.00")(index, dataset)

    assert factor(tmp_path, private) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


def test_else_the_start_is_reckoned_back_from_frame_reference_times(tmp_path):
    def frames(index, dataset):
        dataset.SeriesTime = "150000"
        dataset.AcquisitionTime = f"11{15 + 4 * index:02}00"
        dataset.ActualFrameDuration = "240000"
        decay = math.log(2) / HALF_LIFE
        middle = math.log(decay * 240 / (1 - math.exp(-decay * 240))) / decay
        dataset.FrameReferenceTime = f"{(240 * index + middle) * 1000:.1f}"

    assert factor(tmp_path, frames) == pytest.approx(AN_HOUR_LATER, rel=1e-5)


def test_frame_reference_times_that_disagree_are_refused(tmp_path):
    def frames(index, dataset):
        dataset.SeriesTime = "150000"
        dataset.ActualFrameDuration, dataset.FrameReferenceTime = "240000", str(240000 * index)

    with pytest.raises(InputError, match=r"0054,1300.*960 s apart"):
        factor(tmp_path, frames)


def test_slices_of_two_weights_are_refused(tmp_path):
    def weigh(index, dataset):
        dataset.PatientWeight = 70 + index // 3

    with pytest.raises(InputError, match="one PatientWeight"):
        factor(tmp_path, weigh)


def test_gml_is_suv_already_and_needs_no_dose(tmp_path):
    edit = setting(Units="GML", SUVType="BW", PatientWeight=None, drug_RadionuclideTotalDose=None)
    assert factor(tmp_path, edit) == pytest.approx(1)


def test_gml_without_its_type_is_taken_for_body_weight_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="0054,1006"):
        assert factor(tmp_path, setting(Units="GML")) == pytest.approx(1)


@pytest.mark.parametrize(("element", "expected"), [(0x00, 0.002), (0x09, 0.002 * AN_HOUR_LATER)])
def test_philips_counts_have_a_private_factor(tmp_path, element, expected):
    def private(index, dataset):
        dataset.Units = "CNTS"
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(element, "DS", "0.002")

    assert factor(tmp_path, private) == pytest.approx(expected, rel=1e-5)


def test_a_private_factor_of_another_creator_is_none(tmp_path):
    def private(index, dataset):
        dataset.Units = "CNTS"
        dataset.private_block(0x7053, "Somebody else", create=True).add_new(0x00, "DS", "0.002")

    with pytest.raises(InputError, match="neither above zero"):
        factor(tmp_path, private)


def enhanced(tmp_path, *, unit="Bq/ml", dose=370, **changes):
    def edit(dataset):
        drug = Dataset()
        drug.RadionuclideHalfLife = HALF_LIFE
        drug.add(DataElement(0x00181074, "DS", dose))
        drug.RadiopharmaceuticalStartDateTime = "20200102101500"
        dataset.RadiopharmaceuticalInformationSequence, dataset.PatientWeight = [drug], WEIGHT
        dataset.DecayCorrected = dataset.AttenuationCorrected = "YES"
        dataset.DecayCorrectionDateTime = "20200102111500"
        dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = [mapping(0.5, 0, unit)]
        for name, value in changes.items():
            setattr(dataset, name, value)

    return read(write_enhanced(tmp_path / "pet.dcm", modality="PT", edit=edit))


@pytest.mark.parametrize(("unit", "expected"), [("Bq/ml", AN_HOUR_LATER), ("g/ml{SUVbw}", 1)])
def test_an_enhanced_image_goes_by_its_real_world_values_and_a_dose_in_megabecquerel(
    tmp_path, unit, expected
):
    volume = enhanced(tmp_path, unit=unit)
    assert volume.unit == "g/ml{SUVbw}"
    np.testing.assert_allclose(volume.array, stored_values().transpose(2, 1, 0) * 0.5 * expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dose": 370e6}, r"0018,1074.*in MBq for SUV, found a dose of 3\.7e\+08 MBq, as if written in Bq"),
        ({"DecayCorrected": "NO"}, r"0018,9758.*no DECY"),
        ({"AttenuationCorrected": "NO"}, r"0018,9759.*no ATTN"),
        ({"DecayCorrectionDateTime": ""}, r"0018,9701"),
        ({"unit": "kBq"}, r"0054,1001"),
    ],
)
def test_an_enhanced_image_that_lacks_something_is_refused_by_name(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        enhanced(tmp_path, **changes)


def test_a_real_whole_body_series_has_the_suv_of_its_facts(shared_data):
    """71 kg, 388.8 MBq of F-18 at 10:35:00, corrected to the start at 11:20:11, another slope on every
    slice."""
    import SimpleITK

    folder = shared_data / "dicom" / "pet" / "fdg_bqml_267slices" / "image"
    volume = read(folder)
    image = SimpleITK.ReadImage(list(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))))
    activity = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    expected = 71 * 1000 / (388.777472e6 * 2 ** (-(45 * 60 + 11) / 6588))
    np.testing.assert_allclose(volume.array, activity * expected, rtol=1e-5)
    np.testing.assert_allclose(volume.grid.origin, image.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(volume.grid.spacing, image.GetSpacing(), atol=1e-5)
    assert volume.grid.shape == (128, 128, 267)
