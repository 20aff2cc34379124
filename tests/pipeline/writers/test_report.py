"""The report is one page that needs nothing else, shows what needs attention first, and runs no text as
code."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pyraseg.pipeline.writers.prediction import Algorithm
from pyraseg.pipeline.writers.report import Run, write_report
from pyraseg.pipeline.writers.tables.item_records import Failure, FrameRecord, ItemRecord, LeftOut
from pyraseg.pipeline.writers.tables.text import shown_unit
from pyraseg.transforms.records import Segment
from tests.pipeline.writers import items

UNITS = {"kidney_area": "mm2", "harp": "{ratio}"}
SEGMENTS = (Segment(0, "background", (0, 0, 0)), Segment(1, "kidney", (230, 159, 0)))
ALGORITHM = Algorithm("Kidney in ultrasound", "0.1.0", "abcdef0123456789" * 4, "us_hydronephrosis")
RUN = Run(ALGORITHM, datetime(2026, 3, 2, 14, 5), UNITS, SEGMENTS, {"formats": "seg, sr"})
JPEG, PNG = b"\xff\xd8\xff\xe0 picture", b"\x89PNG\r\n\x1a\n picture"
HOSTILE = [
    *(
        "<script>window.ran=1</script>",
        "</script><script>window.ran=1</script>",
        "<!--<script>",
        "<img src=x>",
    ),
    *(
        "x' onerror='window.ran=1",
        'x" onmouseover="window.ran=1',
        "{{ 7 * 7 }}",
        "\u2028window.ran=1",
        "a\x00\x1b[2Jb",
    ),
    *("gpj\u202efdp", "a\udcffb", "javascript:window.ran=1", "=cmd|' /C calc'!A0", "Größe 腎臓 &amp; <b>"),
]


def frame(number: int = 0, area: float | None = 700.5) -> FrameRecord:
    reasons = {} if area is not None else {"kidney_area": "the image is not calibrated"}
    return FrameRecord(number, {"kidney_area": area, "harp": 0.25}, reasons, confidence=0.9375)


def item(case: str = "c1", frames: tuple[FrameRecord, ...] = (frame(),), **changes: Any) -> ItemRecord:
    return items.item(case, frames, units=UNITS, **changes)


class Page(HTMLParser):
    """Elements with their attributes, the text that is shown, and the JSON blocks by id."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.shown, self.blocks, self.code, self._inside = "", {}, "", ("", {})
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.json = {name: json.loads(text) for name, text in self.blocks.items()}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag, dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        self._inside = "", {}

    def handle_data(self, data: str) -> None:
        tag, attributes = self._inside
        if tag == "script" and attributes.get("type") == "application/json":
            name = str(attributes["id"])
            self.blocks[name] = self.blocks.get(name, "") + data
        elif tag in ("script", "style"):
            self.code += data
        else:
            self.shown += data

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.json["data"]["rows"]

    @property
    def pictures(self) -> list[str | None]:
        chunks = [block for name, block in self.json.items() if name.startswith("pictures-")]
        return [picture for chunk in chunks for picture in chunk]

    def tags(self) -> dict[str, int]:
        names = [tag for tag, _ in self.elements]
        return {name: names.count(name) for name in set(names)}


def page(tmp_path: Path, *records: ItemRecord, run: Run = RUN, **options: Any) -> Page:
    return Page(write_report(tmp_path / "report.html", records, run=run, **options))


def test_the_head_says_what_ran_when_on_how_much(tmp_path):
    records = [item("c1", (frame(0), frame(1)), flags=("low confidence",)), item("c2")]
    failures, left_out = [Failure("f", "r", "m")], [LeftOut("l", "CT"), LeftOut("m", "CT")]
    shown = " ".join(page(tmp_path, *records, failures=failures, left_out=left_out).shown.split())
    for text in (
        "us_hydronephrosis, version 0.1.0",
        "abcdef012345",
        "2026-03-02 14:05",
        "formats",
        "seg, sr",
        "kidney",
    ):
        assert text in shown
    assert "2 items 3 frames 1 flagged 1 failed 2 left out" in shown
    assert "Research use only. Not for diagnosis." in shown
    assert ALGORITHM.weights[:13] not in shown


def test_of_volumes_it_counts_slices_and_says_what_the_model_was_trained_on(tmp_path):
    trained_on = "Volumes cropped <around> one tumour"
    run = replace(RUN, trained_on=trained_on, volumes=True)
    volume = replace(item(), frames=120, slice_mm=2.5, searched_mm=(-1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    shown = page(tmp_path, volume, run=run)
    assert "120 slices" in " ".join(shown.shown.split())
    assert trained_on in shown.shown
    assert "frame" not in shown.shown.lower()
    (row,) = shown.rows
    assert row["spacing"] == [0.25, 0.5, 2.5]
    assert row["searched"] == "x -1 to 2, y 3 to 4, z 5 to 6"
    assert row["spread"] == []
    assert shown.json["data"]["volumes"] is True


def test_what_failed_and_what_is_flagged_comes_first(tmp_path):
    records = [
        item("c0"),
        item("c1", flags=("low confidence",)),
        item("c2"),
        item("c3", flags=("no kidney found",)),
    ]
    out = page(tmp_path, *records, failures=[Failure("f", "a truncated file", "Copy it again.")])
    assert [row["case"] for row in out.rows] == ["c1", "c3", "c0", "c2"]
    places = [
        out.source.index(text)
        for text in ("a truncated file", 'data-flag="low confidence"', 'id="histograms"')
    ]
    assert places == sorted(places)
    assert places[-1] < out.source.index('id="data"')


def test_failures_and_what_was_left_out_are_counted_by_reason_the_most_frequent_first(tmp_path):
    failures = [Failure(f"{n}", f"reason {n % 3 > 0}", "Copy it again.") for n in range(9)]
    out = " ".join(page(tmp_path, item(), failures=failures, left_out=[LeftOut("x", "CT")] * 4).shown.split())
    assert out.index("6 reason True") < out.index("3 reason False") < out.index("4 CT")


def test_the_numbers_are_those_of_the_records(tmp_path):
    frames = frame(0, None), frame(1, 10.0), frame(2, 30.123456789)
    cine, single = page(tmp_path, item("c1", frames, key_frame=2), item("c2", (frame(area=None),))).rows
    assert (cine["values"], cine["spread"]) == ([30.1235, 0.25], [[20.0617, 30.1235], [0.25, 0.25]])
    assert (cine["frames"], cine["key"], cine["size"], cine["spacing"]) == (3, 2, [480, 640], [0.25, 0.5])
    assert (single["values"], single["spread"], single["confidence"]) == ([None, 0.25], [], 0.9375)
    assert single["reasons"] == ["the image is not calibrated", ""]


def test_what_is_no_number_is_absent(tmp_path):
    values = [
        page(tmp_path, item("c1", (frame(area=area),))).rows[0]["values"] for area in (math.nan, math.inf)
    ]
    assert values == [[None, 0.25]] * 2


def test_each_item_keeps_its_own_picture(tmp_path):
    pictures: dict[str, bytes | None] = {
        f"c{n}": (None, JPEG + b"%d" % n, PNG + b"%d" % n, b"GIF89a", b"")[n % 5] for n in range(150)
    }
    records = [item(case, flags=("odd",) if int(case[1:]) % 7 == 0 else ()) for case in pictures]
    out = page(tmp_path, *records, thumbnail=lambda record: pictures[record.case])
    assert len(out.pictures) == len(out.rows) == 150
    for row, picture in zip(out.rows, out.pictures, strict=True):
        number = int(row["case"][1:])
        kind = (None, "jpeg", "png", None, None)[number % 5]
        assert row["picture"] == (kind is not None)
        assert picture is None if kind is None else picture.startswith(f"data:image/{kind};base64,")
    assert len({picture for picture in out.pictures if picture}) == 60


def test_links_lead_to_the_item_s_folder_beside_the_page(tmp_path):
    (row,) = page(tmp_path, item("c1")).rows
    assert (row["folder"], row["outputs"]) == ("./items/c1", ["seg.dcm", "overlay.png"])
    (row,) = page(tmp_path, item("c1"), folder_of=lambda record: "javascript:x/a b#?").rows
    assert row["folder"] == "./javascript%3Ax/a%20b%23%3F"


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_markup_or_code(tmp_path, text):
    def write(text: str, name: str) -> Page:
        record = item(
            text,
            (FrameRecord(0, {text: None}, {text: text}),),
            file=text,
            spacing_source=text,
            flags=(text,),
            notes=(text,),
            outputs=(text,),
            identity={"patient_name": text},
        )
        algorithm = Algorithm(text, text, text, text)
        run = Run(algorithm, RUN.when, {text: text}, [Segment(1, text, (1, 2, 3))], {text: text})
        refused = {"failures": [Failure(text, text, text, text)], "left_out": [LeftOut(text, text)]}
        return page(tmp_path / name, record, run=run, identify=True, **refused, thumbnail=lambda record: JPEG)

    plain, hostile = write("harmless", "a"), write(text, "b")
    assert hostile.tags() == plain.tags()
    assert hostile.code == plain.code
    assert [set(attributes) for _, attributes in hostile.elements] == [set(a) for _, a in plain.elements]
    assert all(c.isprintable() or c == "\n" for c in hostile.source.replace("\N{NO-BREAK SPACE}", ""))


def test_a_text_arrives_as_it_was(tmp_path):
    text = "Größe 腎臓 &amp; <b> '\" \\u003c"
    out = page(tmp_path, item(flags=(text,)), failures=[Failure("", text, "m")])
    assert out.rows[0]["flags"] == [text]
    assert out.shown.count(text) >= 2


def test_patients_files_and_uids_are_named_only_where_that_was_asked_for(tmp_path):
    identity = {"patient_name": "SENTINEL^NAME", "patient_id": "SENTINEL-ID", "birth_date": "SENTINEL-DATE"}
    uids = dict.fromkeys(("study_instance_uid", "series_instance_uid", "sop_instance_uid"), "1.2.SENTINEL")
    record = item(file="SENTINEL/1.dcm", identity=identity, **uids)
    refused = {
        "failures": [Failure("SENTINEL/2.dcm", "r", "m")],
        "left_out": [LeftOut("SENTINEL/3.dcm", "r")],
    }
    assert "SENTINEL" not in page(tmp_path, record, **refused).source
    source = page(tmp_path, record, **refused, identify=True).source
    for text in (*identity.values(), "1.2.SENTINEL", "SENTINEL/1.dcm", "SENTINEL/2.dcm", "SENTINEL/3.dcm"):
        assert text in source
    assert "This page names patients." in source


def test_the_page_asks_for_nothing_from_anywhere(tmp_path):
    out = page(tmp_path, item(), thumbnail=lambda record: JPEG)
    asking = {"src", "href", "action", "srcset", "data", "poster", "formaction"}
    assert [(tag, a) for tag, a in out.elements if asking & set(a)] == []
    assert not {"link", "iframe", "object", "embed", "base"} & set(out.tags())
    assert set(re.findall(r"https?://[^\s\"']*", out.source)) <= {
        "http://www.w3.org/2000/svg"
    }  # a name, no address
    assert "url(" not in out.code
    assert "@import" not in out.code


def test_the_policy_lets_the_page_s_own_script_run_and_no_other(tmp_path):
    out = page(tmp_path, item())
    (policy,) = [a["content"] for _, a in out.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert [a for tag, a in out.elements if "style" in a or any(name.startswith("on") for name in a)] == []
    assert "innerHTML" not in out.code


@pytest.mark.parametrize("failures", [(), (Failure("f", "a truncated file", "Copy it again."),)])
def test_a_batch_without_items_has_a_page_too(tmp_path, failures):
    out = page(tmp_path, failures=failures)
    assert out.rows == out.pictures == []
    assert ("a truncated file" in out.shown) == bool(failures)
    assert ("Nothing failed, and no item is flagged." in out.shown) == (not failures)
    assert "histograms" not in [a.get("id") for _, a in out.elements]


def test_the_same_batch_gives_the_same_bytes(tmp_path):
    options = {"run": RUN, "failures": [Failure("f", "r", "m")], "thumbnail": lambda record: PNG}
    records = [item(f"c{n}", flags=("a", "b") if n % 2 else ()) for n in range(5)]
    pages = [write_report(tmp_path / name, iter(records), **options) for name in ("a.html", "b.html")]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == pages


def test_items_and_pictures_are_held_one_at_a_time(tmp_path):
    alive: list[int] = []

    class Counted(ItemRecord):
        def __del__(self) -> None:
            alive.pop()

    def records() -> Iterator[ItemRecord]:
        for number in range(100):
            alive.append(1)
            assert len(alive) < 5
            yield Counted(**vars(item(f"c{number}")))

    assert (
        len(Page(write_report(tmp_path / "r.html", records(), run=RUN, thumbnail=lambda r: JPEG)).rows) == 100
    )


def test_a_report_that_breaks_off_leaves_the_old_one_and_nothing_else(tmp_path):
    def records() -> Iterator[ItemRecord]:
        yield item()
        raise KeyError("an item.json that is another's")

    path = write_report(tmp_path / "report.html", [item()], run=RUN)
    before = path.read_bytes()
    with pytest.raises(KeyError):
        write_report(path, records(), run=RUN)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("unit", "shown"),
    [("mm2", "mm²"), ("{ratio}", ""), ("[hnsf'U]", "HU"), ("g/ml{SUVbw}", "g/ml"), ("%", "%")],
)
def test_a_unit_is_written_as_one_reads_it(unit, shown):
    assert shown_unit(unit) == shown


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs a browser")
    return found


def test_a_browser_lists_the_items_and_runs_no_text(browser, tmp_path):
    records = [item(f"c{n}", (frame(area=float(n)),)) for n in range(300)]
    records += [item("c-last", flags=(text,), notes=(text,), outputs=(text,)) for text in HOSTILE]
    path = write_report(tmp_path / "report.html", records, run=RUN, thumbnail=lambda record: JPEG)
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
    ]
    done = subprocess.run([browser, *options, path.as_uri()], capture_output=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip("needs a browser that starts here")
    (tmp_path / "after.html").write_bytes(done.stdout)
    after = Page(tmp_path / "after.html")
    classes = [attributes.get("class") for _, attributes in after.elements]
    assert f"{len(records)} items, flagged first" in after.shown
    assert 5 < classes.count("row") < 60  # those in view, and a few more
    assert classes.count("pill") >= 5
    assert after.tags()["figure"] == len(UNITS) + 3  # confidence, expected Dice, unlike
    assert [a for tag, a in after.elements if tag == "img" and a.get("class") != "thumb"] == []


def test_many_items_go_on_pages_of_their_own_that_lead_to_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("pyraseg.pipeline.writers.report.page.PAGE", 3)
    records = [item(f"c{n}", flags=("colour",) if n == 6 else ()) for n in range(7)]
    failed = [Failure("x.dcm", "a broken one", "Copy it.")]
    path = write_report(tmp_path / "report.html", records, run=RUN, failures=failed)
    pages = [Page(tmp_path / name) for name in ("report.html", "report-2.html", "report-3.html")]
    assert [[row["case"] for row in page.rows] for page in pages] == [
        ["c6", "c0", "c1"], ["c2", "c3", "c4"], ["c5"]
    ]  # fmt: skip
    links = [[a["href"] for tag, a in page.elements if tag == "a"] for page in pages]
    assert links == [
        ["report-2.html"],
        ["report.html", "report.html", "report-3.html"],
        ["report.html", "report-2.html"],
    ]
    assert ["a broken one" in page.shown for page in pages] == [True, False, False]
    assert all("7 items" in page.shown for page in pages)

    write_report(path, records[:3], run=RUN)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["report.html"]
    assert [a for tag, a in Page(path).elements if tag == "a"] == []
