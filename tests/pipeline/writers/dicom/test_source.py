"""What is taken from a source's header is right, or empty and said to be so."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
from pydicom import config, dcmread
from pydicom.dataelem import DataElement
from pydicom.uid import SecondaryCaptureImageStorage, UltrasoundImageStorage

from pyraseg.pipeline.writers.dicom.source import derive_uid, frame_reference, read_source
from pyraseg.transforms.dicom.files.discover import source_ref
from pyraseg.transforms.errors import InputError
from tests.pipeline.writers.dicom_cases import HEADER, patched, write_source

PERSONAL = ("Sentinel", "SENTINEL", "Änne", "19610203", "20200304", "101112")


def read(path):
    return read_source(source_ref(path))


def invalid(path, **values):
    """Values that DICOM forbids, written as they are."""
    dataset = dcmread(path)
    for keyword, value in values.items():
        tag, representation = dataset[keyword].tag, dataset[keyword].VR
        # A name goes in as another text, for pydicom writes no string as one.
        representation = "LO" if representation == "PN" else representation
        element = DataElement(tag, representation, "", validation_mode=config.IGNORE)
        element._value = value
        dataset[tag] = element
    dataset.save_as(path)
    return path


def test_a_sound_header_is_taken_as_it_is(tmp_path):
    header = read(write_source(tmp_path / "a.dcm"))
    for keyword in (
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyDate",
        "StudyDescription",
    ):
        assert header.identity[keyword].value == HEADER[keyword]
    assert str(header.identity.PatientName) == "Sentinel^Änne"
    assert (header.series_number, header.instance_number) == (7, 8)
    assert header.notes == ()


def test_nothing_but_identity_is_taken(tmp_path):
    identity = read(write_source(tmp_path / "a.dcm")).identity
    assert "PatientComments" not in identity
    assert "PixelSpacing" not in identity
    assert "Rows" not in identity


def test_missing_type_2_attributes_become_empty_in_one_note(tmp_path):
    path = write_source(tmp_path / "a.dcm", PatientID=None, PatientBirthDate=None, AccessionNumber=None)
    header = read(path)
    assert (
        header.identity.PatientID == header.identity.PatientBirthDate == header.identity.AccessionNumber == ""
    )
    assert header.notes == (
        "missing in the source, left empty: Patient ID, Patient's Birth Date, Accession Number",
    )


def test_an_empty_type_2_attribute_is_sound(tmp_path):
    assert read(write_source(tmp_path / "a.dcm", PatientID="", PatientSex="", StudyTime="")).notes == ()


@pytest.mark.parametrize(
    ("keyword", "stated", "written"),
    [
        ("StudyTime", "14:04:38", "140438"),
        ("StudyTime", "14:04", "1404"),
        ("StudyTime", "9:04:38", "090438"),
        ("StudyTime", "094836.214743984", "094836.214743"),
        ("StudyTime", "14:04:38.5", "140438.5"),
        ("StudyTime", "250000", ""),
        ("StudyTime", "14:04:61", ""),
        ("StudyTime", "noon", ""),
        ("StudyDate", "2001.02.03", "20010203"),
        ("StudyDate", "2001-02-03", "20010203"),
        ("StudyDate", "2001/2/3", "20010203"),
        ("StudyDate", "20010230", ""),
        ("StudyDate", "03.02.2001", ""),
        ("StudyDate", "unknown", ""),
        ("StudyDate", "69610203", ""),
        ("PatientBirthDate", "00000000", ""),
        ("PatientBirthDate", "1961.02.30", ""),
        ("PatientSex", "f", "F"),
        ("PatientSex", "male", "M"),
        ("PatientSex", "N", ""),
        ("PatientID", "9" * 65, ""),
        ("PatientID", "A\\B", ""),
        ("AccessionNumber", "1" * 17, ""),
        ("PatientName", "x" * 65, ""),
    ],
)
def test_what_is_wrong_in_form_is_rewritten_and_what_is_wrong_in_content_emptied(
    tmp_path, keyword, stated, written
):
    header = read(invalid(write_source(tmp_path / "a.dcm"), **{keyword: stated}))
    assert header.identity[keyword].value == written
    (note,) = header.notes
    assert ("rewritten" if written else "left empty") in note
    assert len(stated) == 1 or stated not in note


@pytest.mark.parametrize("time", ["10", "1011", "101112", "101112.1", "101112.123456", "235960"])
def test_a_time_as_dicom_has_it_is_kept(tmp_path, time):
    header = read(write_source(tmp_path / "a.dcm", StudyTime=time))
    assert header.identity.StudyTime == time
    assert header.notes == ()


@pytest.mark.parametrize(
    ("stated", "written"), [("34Y", "034Y"), ("034Y", "034Y"), ("34", None), ("old", None)]
)
def test_an_optional_value_that_cannot_be_repaired_is_left_out(tmp_path, stated, written):
    path = write_source(tmp_path / "a.dcm", PatientAge="099Y")
    assert read(invalid(path, PatientAge=stated)).identity.get("PatientAge") == written


@pytest.mark.parametrize(
    ("written", "stated", "note"),
    [
        ("ISO_IR 100", "ISO-IR 100", "misspelt"),
        ("ISO_IR 192", "ISO-IR 192", "misspelt"),
        ("ISO_IR 100", "          ", "read as Latin-1"),
        ("ISO_IR 192", "          ", "read as UTF-8"),
        ("ISO_IR 100", "KLINGON 12", "unknown Specific Character Set"),
    ],
)
def test_letters_survive_a_character_set_that_is_misspelt_missing_or_unknown(tmp_path, written, stated, note):
    path = write_source(tmp_path / "a.dcm", SpecificCharacterSet=written)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, in reading the pixels' header
        header = read(patched(path, (written.encode(), stated.encode())))
    assert str(header.identity.PatientName) == "Sentinel^Änne"
    assert header.identity.SpecificCharacterSet == "ISO_IR 192"
    assert len(header.notes) == 1
    assert note in header.notes[0]


def test_letters_that_the_character_set_has_not_are_noted(tmp_path):
    path = write_source(tmp_path / "a.dcm", PatientName="Sentinel^x")
    header = read(patched(path, (b"ISO_IR 100", b"ISO_IR 192"), (b"Sentinel^x", b"Sentinel^\xc4")))
    assert header.notes == ("Patient's Name: letters that its character set has not",)


def test_japanese_names_keep_their_groups(tmp_path):
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    path = write_source(tmp_path / "a.dcm", SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=name)
    header = read(path)
    assert str(header.identity.PatientName) == name
    assert header.notes == ()


def test_no_note_holds_a_value(tmp_path):
    path = write_source(tmp_path / "a.dcm", SeriesInstanceUID="", PatientID=None)
    path = invalid(
        path, PatientBirthDate="1961.02.03", StudyTime="10:11:12", PatientSex="x", PatientName="Sentinel\\Ä"
    )
    notes = "\n".join(read(path).notes)
    assert notes.count("\n") == 5
    assert not [value for value in (*PERSONAL, "1961", "10:11") if value in notes]


def test_a_source_without_a_study_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(InputError, match="Study Instance UID") as caught:
        read(write_source(tmp_path / "a.dcm", StudyInstanceUID=""))
    assert caught.value.path == str(tmp_path / "a.dcm")
    assert "a.dcm" not in str(caught.value)


def test_a_source_without_an_instance_anywhere_is_refused(tmp_path):
    ref = replace(source_ref(write_source(tmp_path / "a.dcm")), sop_instance_uid="")
    with pytest.raises(InputError, match="SOP Instance UID"):
        read_source(ref)


def test_an_instance_that_only_the_file_meta_names_is_referenced_by_it(tmp_path):
    header = read(write_source(tmp_path / "a.dcm", SOPInstanceUID=""))
    assert header.identity.SOPInstanceUID == HEADER["SOPInstanceUID"]


def test_sources_without_a_series_share_one_that_follows_from_their_study(tmp_path):
    first, second = (
        read(write_source(tmp_path / name, SeriesInstanceUID=stated)).identity.SeriesInstanceUID
        for name, stated in (("a.dcm", None), ("b.dcm", ""))
    )
    other = read(write_source(tmp_path / "c.dcm", SeriesInstanceUID=None, StudyInstanceUID="1.2.3"))
    assert first == second != other.identity.SeriesInstanceUID
    assert "Series Instance UID" in other.notes[0]


@pytest.mark.parametrize("uid", ["999.999.2.19941105", "1.02.3"])
def test_an_invalid_study_uid_is_kept_so_that_results_stay_in_the_study(tmp_path, uid):
    header = read(invalid(write_source(tmp_path / "a.dcm"), StudyInstanceUID=uid))
    assert header.identity.StudyInstanceUID == uid
    assert header.notes == ("Study Instance UID: not a valid UID, kept so that objects stay together",)


@pytest.mark.parametrize("uid", ["1.2.x", "12345", "1." * 32 + "1"])
def test_a_study_uid_that_no_archive_takes_is_refused(tmp_path, uid):
    with pytest.raises(InputError, match="digits and dots"):
        read(invalid(write_source(tmp_path / "a.dcm"), StudyInstanceUID=uid))


def test_a_frame_number_is_given_by_the_class_and_not_by_the_count(tmp_path):
    cine = read(write_source(tmp_path / "a.dcm", frames=3))
    claimed = read(write_source(tmp_path / "b.dcm", frames=3, SOPClassUID=UltrasoundImageStorage))
    capture = read(write_source(tmp_path / "c.dcm", SOPClassUID=SecondaryCaptureImageStorage))
    assert frame_reference(cine, 0) == 1
    assert frame_reference(cine, 2) == 3
    assert frame_reference(claimed, 2) is frame_reference(capture, 0) is None


@pytest.mark.parametrize(
    ("stated", "syntax", "lossy"),
    [
        (None, "1.2.840.10008.1.2.1", "00"),
        (None, "1.2.840.10008.1.2.5", "00"),
        (None, "1.2.840.10008.1.2.4.70", "00"),
        (None, "1.2.840.10008.1.2.4.90", "00"),
        (None, "1.2.840.10008.1.2.4.50", "01"),
        (None, "1.2.840.10008.1.2.4.91", "01"),
        ("01", "1.2.840.10008.1.2.1", "01"),
    ],
)
def test_loss_by_compression_is_handed_on(tmp_path, stated, syntax, lossy):
    path = write_source(tmp_path / "a.dcm", LossyImageCompression=stated)
    compression = read_source(replace(source_ref(path), transfer_syntax_uid=syntax)).compression
    assert compression.LossyImageCompression == lossy
    assert ("LossyImageCompressionRatio" in compression) == (lossy == "01")


def test_the_stated_ratio_and_method_are_kept(tmp_path):
    how = {
        "LossyImageCompressionRatio": [7.5, 2],
        "LossyImageCompressionMethod": ["ISO_10918_1", "ISO_15444_1"],
    }
    compression = read(write_source(tmp_path / "a.dcm", LossyImageCompression="01", **how)).compression
    assert [float(value) for value in compression.LossyImageCompressionRatio] == [7.5, 2]
    assert list(compression.LossyImageCompressionMethod) == how["LossyImageCompressionMethod"]


def test_uids_depend_on_all_parts_and_their_borders():
    assert derive_uid("a", "b") == derive_uid("a", "b")
    assert len({derive_uid("a", "b"), derive_uid("ab"), derive_uid("a", "b", ""), derive_uid("b", "a")}) == 4
    assert derive_uid("a").is_valid


def test_a_header_that_is_cut_off_is_refused(tmp_path):
    path = write_source(tmp_path / "a.dcm")
    ref = source_ref(path)
    path.write_bytes(b"no DICOM at all")
    with pytest.raises(InputError):
        read_source(ref)
