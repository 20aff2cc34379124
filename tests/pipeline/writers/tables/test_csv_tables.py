"""The tables hold every item and frame, numbers as numbers, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyraseg.pipeline.writers.tables.csv_tables import (
    column,
    write_failures,
    write_frames,
    write_left_out,
    write_manifest,
    write_results,
)
from pyraseg.pipeline.writers.tables.item_records import Failure, FrameRecord, ItemRecord, LeftOut
from pyraseg.pipeline.writers.tables.text import neutralise
from tests.pipeline.writers import items

UNITS = {"kidney_area": "mm2", "harp": "{ratio}", "hydronephrosis_index": "%"}
HOSTILE = [
    *(
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "  =1",
        "\u00a0=1",
        "\u2028=1",
        "＝1",
        "\n@x",
    ),
]


def frame(number: int = 0, area: float | None = 700.5, harp: float | None = 0.25) -> FrameRecord:
    values = {"kidney_area": area, "harp": harp, "hydronephrosis_index": 80.0}
    return FrameRecord(
        number, values, {name: "none" for name, v in values.items() if v is None}, confidence=0.9375
    )


def item(case: str = "c1", frames: tuple[FrameRecord, ...] = (frame(),), **changes) -> ItemRecord:
    return items.item(case, frames, units=UNITS, **changes)


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def results(tmp_path: Path, *records: ItemRecord, **options) -> list[dict[str, str]]:
    return read(write_results(tmp_path / "results.csv", records, units=UNITS, **options))


def test_an_item_is_a_row_with_its_key_frame(tmp_path):
    frames = frame(0), frame(1, area=900.125), frame(2, area=800)
    (row,) = results(
        tmp_path, item(frames=frames, key_frame=1, flags=("low confidence", "cut"), notes=("a", "b"))
    )
    assert (row["case"], row["file"], row["sop_instance_uid"]) == ("c1", "a/1.dcm", "1.2.3.4.5")
    assert (row["frames"], row["rows"], row["columns"], row["key_frame"]) == ("3", "480", "640", "1")
    assert (row["spacing_row_mm"], row["spacing_column_mm"], row["spacing_source"]) == (
        "0.25",
        "0.5",
        "regions",
    )
    assert float(row["kidney_area_mm2"]) == 900.125
    assert (float(row["kidney_area_mm2_median"]), float(row["kidney_area_mm2_max"])) == (800, 900.125)
    assert (float(row["confidence"]), float(row["seconds"])) == (0.9375, 1.5)
    assert (row["flags"], row["notes"], row["outputs"]) == (
        "low confidence; cut",
        "a; b",
        "seg.dcm; overlay.png",
    )


def test_a_single_frame_has_no_median_and_no_maximum(tmp_path):
    (row,) = results(tmp_path, item())
    assert (row["kidney_area_mm2"], row["kidney_area_mm2_median"], row["kidney_area_mm2_max"]) == (
        "700.5",
        "",
        "",
    )


def test_what_is_absent_is_an_empty_cell_and_counts_in_no_median(tmp_path):
    frames = frame(0, area=None), frame(1, area=10), frame(2, area=30), frame(3, area=math.nan)
    (row,) = results(tmp_path, item(frames=frames[:3], spacing_mm=None, spacing_source="none"))
    assert (row["kidney_area_mm2"], row["spacing_row_mm"]) == ("", "")
    assert (float(row["kidney_area_mm2_median"]), float(row["kidney_area_mm2_max"])) == (20, 30)
    (row,) = results(tmp_path, item(frames=(frames[3],)))
    assert row["kidney_area_mm2"] == ""


def test_frames_are_rows_counted_from_0(tmp_path):
    records = [item("c1", (frame(0), frame(1, harp=None))), item("c2")]
    rows = read(write_frames(tmp_path / "frames.csv", records, units=UNITS))
    assert [(row["case"], row["frame"], row["harp_ratio"]) for row in rows] == [
        ("c1", "0", "0.25"),
        ("c1", "1", ""),
        ("c2", "0", "0.25"),
    ]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        *(("mm2", "q_mm2"), ("%", "q_percent"), ("{ratio}", "q_ratio"), ("[hnsf'U]", "q_HU")),
        *(("g/ml{SUVbw}", "q_g_per_ml"), ("", "q")),
    ],
)
def test_a_column_is_named_with_its_unit(unit, expected):
    assert column("q", unit) == expected


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_of_any_table_starts_a_formula(tmp_path, text):
    records = [item(text, file=text, flags=(text,), notes=(text,), outputs=(text,), spacing_source=text)]
    records[0] = replace(
        records[0], identity=dict.fromkeys(("patient_name", "patient_id", "birth_date"), text)
    )
    tables = [
        write_results(tmp_path / "r.csv", records, units={text: text}, identify=True),
        write_frames(tmp_path / "f.csv", records, units={text: text}),
        write_failures(tmp_path / "e.csv", [Failure(text, text, text, text)]),
        write_left_out(tmp_path / "l.csv", [LeftOut(text, text)]),
    ]
    for path in tables:
        with open(path, newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert any(cell.startswith("'") for cell in cells)
        assert [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@", "＝"))] == []


def test_a_negative_number_stays_a_number(tmp_path):
    (row,) = results(tmp_path, item(frames=(frame(area=-12.5),)))
    assert row["kidney_area_mm2"] == "-12.5"


def test_what_cannot_be_seen_is_replaced_and_letters_are_kept(tmp_path):
    names = ["Nieren Größe 腎臓.dcm", "a\x1b[31m\x00b", "gpj\u202efdp", "a\udcffb", "x\u2028y\nz"]
    rows = read(write_failures(tmp_path / "failures.csv", [Failure(name, "r", "m") for name in names]))
    mark = "\N{REPLACEMENT CHARACTER}"
    assert [row["file"] for row in rows] == [
        names[0],
        f"a{mark}[31m{mark}b",
        f"gpj{mark}fdp",
        f"a{mark}b",
        "x y z",
    ]


@pytest.mark.parametrize("text", ["a=b", "O'Neil", 'with "quotes", commas', "1-2", ""])
def test_a_harmless_text_stays_as_it_is(text):
    assert neutralise(text) == text


def test_the_patient_is_named_only_where_that_was_asked_for(tmp_path):
    identity = {"patient_name": "SENTINEL^NAME", "patient_id": "SENTINEL-ID", "birth_date": "19700101"}
    record = item(identity=identity)
    assert "patient_name" not in results(tmp_path, record)[0]
    assert "SENTINEL" not in (tmp_path / "results.csv").read_text()
    (row,) = results(tmp_path, record, identify=True)
    assert {name: row[name] for name in identity} == identity
    assert results(tmp_path, item(), identify=True)[0]["patient_name"] == ""


def test_pandas_reads_numbers_as_numbers(tmp_path):
    pandas = pytest.importorskip("pandas")
    records = [item("c1", flags=("=1",)), item("c2", (frame(area=None),))]
    table = pandas.read_csv(write_results(tmp_path / "results.csv", records, units=UNITS))
    assert table["kidney_area_mm2"].sum() == 700.5
    assert table["kidney_area_mm2"].isna().tolist() == [False, True]
    assert table["study_instance_uid"].tolist() == ["1.2.3", "1.2.3"]


def test_an_empty_batch_has_tables_with_a_header_alone(tmp_path):
    paths = [
        write_results(tmp_path / "r.csv", [], units=UNITS),
        write_frames(tmp_path / "f.csv", [], units=UNITS),
        write_failures(tmp_path / "e.csv", []),
        write_left_out(tmp_path / "l.csv", []),
    ]
    assert all(read(path) == [] and path.read_text().count("\n") == 1 for path in paths)


def test_records_are_read_one_at_a_time(tmp_path):
    alive: list[int] = []

    class Counted(ItemRecord):
        def __del__(self) -> None:
            alive.pop()

    def records() -> Iterator[ItemRecord]:
        for _ in range(50):
            alive.append(1)
            assert len(alive) < 5
            yield Counted(**vars(item()))

    for write in (write_results, write_frames):
        assert len(read(write(tmp_path / "t.csv", records(), units=UNITS))) == 50


def test_the_manifest_is_the_same_json_whatever_the_order_of_its_keys(tmp_path):
    content = {"b": {"y": 1, "x": "größe \udcff"}, "a": [1.5, None, True]}
    first = write_manifest(tmp_path / "1.json", content).read_bytes()
    second = write_manifest(tmp_path / "2.json", dict(reversed(content.items()))).read_bytes()
    assert first == second
    assert json.loads(first) == {"a": [1.5, None, True], "b": {"x": "größe ?", "y": 1}}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_manifest(tmp_path / "3.json", {"a": math.nan})


def test_a_volume_is_a_row_with_its_three_spacings_and_what_was_searched(tmp_path):
    volume = {"slice_mm": 2.5, "spacing_source": "series"}
    whole = replace(item("c1"), frames=120, **volume)
    part = replace(item("c2"), frames=120, searched_mm=(-60.0, 80.5, -40.0, 100.0, -900.0, -750.0), **volume)
    rows = read(write_results(tmp_path / "results.csv", [whole, part], units=UNITS, volumes=True))
    assert [row["slices"] for row in rows] == ["120", "120"]
    spacing = [rows[0][f"spacing_{axis}_mm"] for axis in ("row", "column", "slice")]
    assert spacing == ["0.25", "0.5", "2.5"]
    assert [row["searched_mm"] for row in rows] == ["", "x -60 to 80.5, y -40 to 100, z -900 to -750"]
    assert float(rows[0]["kidney_area_mm2"]) == 700.5
    assert not [name for name in rows[0] if name.endswith(("_median", "_max", "frame"))]


def test_a_volume_survives_its_item_json(tmp_path):
    volume = replace(item(), frames=120, slice_mm=2.5, searched_mm=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
    assert ItemRecord.from_json(json.loads(json.dumps(volume.to_json()))) == volume
