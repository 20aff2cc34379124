"""Writing and reading a datalist: the round trip, and every refusal before the first epoch."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
from monai.data import load_decathlon_datalist

from pyraseg.pipeline.datalist import check_label_names, load_datalist, write_datalist
from pyraseg.transforms.errors import DatalistError, LabelError, OutputError
from pyraseg.transforms.privacy import case_name, image_group

NAMES = ["background", "hydronephrosis"]


def item(name: str, group: str, **more: object) -> dict:
    return {"image": f"images/{name}.png", "label": f"masks/{name}.png", "group": group, **more}


@pytest.fixture
def splits() -> dict[str, list[dict]]:
    return {
        "training": [item("a", "g1"), item("b", "g1")],
        "validation": [item("c", "g2")],
        "test": [item("d", "g3")],
    }


@pytest.fixture
def dataset(tmp_path: Path, splits: dict[str, list[dict]]) -> Path:
    for entry in (entry for items in splits.values() for entry in items):
        for key in ("image", "label"):
            (tmp_path / entry[key]).parent.mkdir(exist_ok=True)
            (tmp_path / entry[key]).touch()
    return tmp_path


@pytest.fixture
def written(dataset: Path, splits: dict[str, list[dict]]) -> Path:
    return write_datalist(
        dataset / "datalist.json", splits, label_names=NAMES, label_map={0: 0, 255: 1}, seed=3
    )


def edited(path: Path, change) -> Path:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_what_is_written_is_read_back_with_absolute_paths(written: Path) -> None:
    datalist = load_datalist(written)
    assert [entry["image"] for entry in datalist.training] == [
        str(written.parent / f"images/{n}.png") for n in "ab"
    ]
    assert datalist.label_names == tuple(NAMES)
    assert datalist.label_map == {0: 0, 255: 1}
    assert (datalist.num_classes, datalist.seed) == (2, 3)
    assert datalist.validation[0]["case"] == case_name("images/c.png")


def test_monai_reads_the_same_file(written: Path) -> None:
    items = load_decathlon_datalist(str(written), data_list_key="validation")
    assert items[0]["image"] == load_datalist(written).validation[0]["image"]


def test_the_same_content_gives_the_same_bytes_and_another_label_another_digest(
    dataset: Path, splits: dict
) -> None:
    one = write_datalist(dataset / "1.json", splits, label_names=NAMES)
    two = write_datalist(dataset / "2.json", splits, label_names=NAMES)
    three = write_datalist(dataset / "3.json", splits, label_names=NAMES, label_map={0: 0, 255: 1})
    assert one.read_bytes() == two.read_bytes()
    assert load_datalist(one).digest != load_datalist(three).digest


def test_the_digest_does_not_depend_on_the_hash_key(dataset: Path, splits: dict, monkeypatch) -> None:
    one = load_datalist(write_datalist(dataset / "1.json", splits, label_names=NAMES))
    monkeypatch.setenv("PYRASEG_HASH_KEY", "another machine's key")
    two = load_datalist(write_datalist(dataset / "2.json", splits, label_names=NAMES))
    assert one.training[0]["case"] != two.training[0]["case"]
    assert one.digest == two.digest


def test_a_frame_of_a_cine_keeps_its_index_and_its_file_is_checked(dataset: Path, splits: dict) -> None:
    splits["test"] = [item("d", "g3") | {"image": f"images/d.png#frame_index={n}"} for n in (0, 1)]
    datalist = load_datalist(write_datalist(dataset / "d.json", splits, label_names=NAMES), split="test")
    assert str(datalist.test[1]["image"]) == str(dataset / "images/d.png") + "#frame_index=1"


def test_the_items_handed_out_are_copies(written: Path) -> None:
    datalist = load_datalist(written)
    datalist.items("training")[0]["image"] = "changed"
    assert datalist.training[0]["image"] != "changed"


def test_a_group_in_two_splits_is_refused_when_written_and_when_read(written: Path, splits: dict) -> None:
    def leak(content: dict) -> None:
        content["test"][0]["group"] = "g1"

    with pytest.raises(DatalistError, match=r"first g\w{12} in test and training"):
        load_datalist(edited(written, leak))
    leak(splits)
    with pytest.raises(DatalistError, match="g1 in test and training"):
        write_datalist(written, splits, label_names=NAMES)


def test_a_repeated_case_is_refused(written: Path) -> None:
    with pytest.raises(DatalistError, match="1 cases more than once"):
        load_datalist(edited(written, lambda content: content["training"].append(content["training"][0])))


def test_absent_files_are_counted_and_named_without_their_path(written: Path) -> None:
    missing = written.parent / "images" / "a.png"
    missing.unlink()
    found = f"1 of them absent or empty folders, in the cases {case_name('images/a.png')}"
    with pytest.raises(DatalistError, match=found) as caught:
        load_datalist(written)
    assert caught.value.path == str(missing)
    assert str(written.parent) not in str(caught.value)
    assert load_datalist(written, split="test").test


def test_the_data_may_lie_elsewhere_than_the_list(written: Path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("lists") / "datalist.json"
    elsewhere.write_bytes(written.read_bytes())
    with pytest.raises(DatalistError, match="--dataset_dir"):
        load_datalist(elsewhere)
    assert load_datalist(elsewhere, dataset_dir=written.parent).training == load_datalist(written).training


def test_an_empty_split_is_refused_only_where_it_is_asked_for(dataset: Path, splits: dict) -> None:
    path = write_datalist(dataset / "d.json", {"training": splits["training"]}, label_names=NAMES)
    assert load_datalist(path).validation == ()
    with pytest.raises(DatalistError, match="items in validation, found training 2, validation 0, test 0"):
        load_datalist(path, split=("training", "validation"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "no such file"),
        ("{", "a syntax error in line 1"),
        ("[]", "a file without them"),
        (b"\xff\xfe\x00", "a file that is not text"),
    ],
)
def test_a_file_that_is_no_datalist_is_refused(tmp_path: Path, text, found: str) -> None:
    path = tmp_path / "datalist.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DatalistError, match=found):
        load_datalist(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(trainning=[]), 'Did you mean "training"'),
        (lambda c: c.update(holdout=c["test"]), 'unknown key "holdout"'),
        (lambda c: c["training"][0].update(lable="x"), 'Did you mean "label"'),
        (lambda c: c["training"][0].pop("label"), "without a path under label"),
        (lambda c: c.update(test="x"), "a list of items under test"),
        (lambda c: c["test"].append(7), "item 1 of test as int"),
    ],
)
def test_unknown_keys_and_malformed_items_are_refused(written: Path, change, message: str) -> None:
    with pytest.raises(DatalistError, match=message):
        load_datalist(edited(written, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("label_names"), "label_names"),
        (lambda c: c.update(label_names=["kidney", "fluid"]), "background"),
        (lambda c: c.update(label_map={"0": 0, "255": 2}), "mask value 255 mapped to class 2"),
        (lambda c: c.update(label_map=[0, 1]), "label_map"),
    ],
)
def test_a_label_set_that_contradicts_itself_is_refused(written: Path, change, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        load_datalist(edited(written, change))


def test_another_label_set_than_the_bundles_is_refused_with_the_override_that_fits(written: Path) -> None:
    datalist = load_datalist(written)
    check_label_names(datalist, NAMES)
    with pytest.raises(LabelError) as caught:
        check_label_names(datalist, ["background", "kidney", "hydronephrosis"])
    assert "--label_names \"['background','hydronephrosis']\"" in caught.value.remedy


def test_a_fold_chosen_becomes_the_validation_split(dataset: Path, splits: dict) -> None:
    folded = {"training": [item(n, f"g{k}", fold=k) for k, n in enumerate("abc")], "test": splits["test"]}
    path = write_datalist(dataset / "d.json", folded, label_names=NAMES, keep_names=True)
    datalist = load_datalist(path, split=("training", "validation"), fold=1)
    assert [entry["group"] for entry in datalist.validation] == ["g1"]
    assert [entry["group"] for entry in datalist.training] == ["g0", "g2"]
    with pytest.raises(DatalistError, match="none chosen"):
        load_datalist(path, split="validation")
    with pytest.raises(DatalistError, match="the fold 7"):
        load_datalist(path, fold=7)


def test_a_group_in_two_folds_is_a_leak(dataset: Path) -> None:
    folded = {"training": [item("a", "g1", fold=0), item("b", "g1", fold=1)]}
    with pytest.raises(DatalistError, match="training fold 0 and training fold 1"):
        write_datalist(dataset / "d.json", folded, label_names=NAMES)


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left_behind(
    dataset: Path, splits: dict
) -> None:
    blocked = dataset / "taken"
    blocked.mkdir()
    with pytest.raises(OutputError):
        write_datalist(blocked, splits, label_names=NAMES)
    with pytest.raises(OutputError):
        write_datalist(dataset / "images" / "a.png" / "d.json", splits, label_names=NAMES)
    assert not list(dataset.glob(".*"))


def test_names_that_somebody_typed_are_hashed_unless_the_list_says_to_keep_them(dataset: Path) -> None:
    splits = {
        "training": [item("a", "DOE^JANE", case="DOE JANE 1970"), item("b", "DOE^JANE", case="c0123456789ab")]
    }
    path = write_datalist(dataset / "typed.json", splits, label_names=NAMES)
    first, second = load_datalist(path, split="training").training
    assert "DOE" not in f"{first['case']} {first['group']}"
    assert first["case"] == case_name("DOE JANE 1970")
    assert first["group"] == second["group"]
    assert second["case"] == "c0123456789ab"
    kept = write_datalist(dataset / "kept.json", splits, label_names=NAMES, keep_names=True)
    assert [entry["case"] for entry in load_datalist(kept, split="training").training] == [
        "DOE JANE 1970",
        "c0123456789ab",
    ]


def test_no_error_names_a_case_as_somebody_typed_it(dataset: Path) -> None:
    splits = {"training": [item("a", "g", case="DOE JANE"), item("b", "g", case="other")]}
    path = write_datalist(dataset / "typed.json", splits, label_names=NAMES)
    path.write_text(path.read_text().replace('"other"', '"DOE JANE"'))
    with pytest.raises(DatalistError, match="more than once") as raised:
        load_datalist(path, split="training")
    assert "DOE" not in str(raised.value)


def test_the_image_of_a_volume_may_be_the_folder_of_its_series_and_must_hold_something(
    tmp_path: Path,
) -> None:
    item = {"image": "images/one/", "label": "labels/one.dcm", "group": "g1"}
    (tmp_path / "images/one").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/one.dcm").touch()
    path = write_datalist(tmp_path / "d.json", {"training": [item]}, label_names=["background", "tumour"])
    with pytest.raises(DatalistError, match="empty folders"):
        load_datalist(path)
    (tmp_path / "images/one/1.dcm").touch()
    assert load_datalist(path).training[0]["image"] == str(tmp_path / "images/one")
    (tmp_path / "labels/one.dcm").unlink()
    (tmp_path / "labels/one.dcm").mkdir()
    (tmp_path / "labels/one.dcm/1.dcm").touch()
    with pytest.raises(DatalistError, match="absent"):
        load_datalist(path)


def test_names_of_parts_stand_in_the_label_map_beside_values(dataset: Path, splits: dict) -> None:
    label_map = {"GTV_Mass": 1, 255: 1, 0: 0}
    path = write_datalist(dataset / "datalist.json", splits, label_names=NAMES, label_map=label_map)
    datalist = load_datalist(path)
    assert datalist.label_map == label_map
    assert datalist.digest == json.loads(path.read_text())["digest"]
    with pytest.raises(LabelError, match="stands twice"):
        write_datalist(path, splits, label_names=NAMES, label_map={"a": 1, "A ": 1})


def listed(folder: Path, **content: object) -> Path:
    path = folder / "typed.json"
    path.write_text(json.dumps({"label_names": NAMES, **content}))
    return path


def plain(name: str, **more: object) -> dict:
    return {"image": f"images/{name}.png", "label": f"masks/{name}.png", **more}


@pytest.mark.parametrize("spelled", ["images/a.png", "./images/a.png", "images/x/../a.png", "images//a.png"])
@pytest.mark.parametrize("named", [{}, {"case": "other", "group": "g1"}])
def test_one_image_is_one_however_its_path_is_spelled(dataset: Path, spelled: str, named: dict) -> None:
    for path in (spelled, str(dataset / spelled)):
        again = {"image": path, "label": "masks/a.png", **named}
        lists = {"training": [plain("a", group="g1"), plain("b", group="g1")], "test": [again]}
        with pytest.raises(DatalistError, match=r"every (case|image) once"):
            load_datalist(listed(dataset, **lists), split="test")
        alone = load_datalist(listed(dataset, test=[again | {"case": None}]), split="test")
        assert alone.test[0]["case"] == case_name("images/a.png")
        assert alone.digest == load_datalist(listed(dataset, test=[plain("a")]), split="test").digest


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_an_image_in_two_groups_by_a_link_is_a_leak_and_in_one_group_is_none(dataset: Path, link) -> None:
    link(dataset / "images/a.png", dataset / "images/b2.png")
    items = [plain("a", group="g1"), plain("b2", group="g2") | {"label": "masks/a.png"}]
    for splits in ({"training": items}, {"training": items[:1], "test": items[1:]}):
        with pytest.raises(DatalistError, match="one file in g") as raised:
            load_datalist(listed(dataset, **splits), split="training")
        assert str(dataset) not in str(raised.value)
    items[1]["group"] = "g1"
    assert len(load_datalist(listed(dataset, training=items), split="training").training) == 2


def test_the_frames_of_a_cine_and_the_files_of_a_series_lie_in_one_group(dataset: Path) -> None:
    frames = [plain("a") | {"image": f"images/a.png#frame_index={n}"} for n in (0, 1)]
    assert {item["group"] for item in load_datalist(listed(dataset, training=frames)).training} == {
        image_group("images/a.png")
    }
    inside = plain("a", group="g1") | {"image": "images"}
    for pair in ([frames[0], {**frames[1], "group": "g2"}], [inside, plain("b", group="g2")]):
        with pytest.raises(DatalistError, match="each image file in one group"):
            load_datalist(listed(dataset, training=pair[:1], test=pair[1:]), split="training")


@pytest.mark.parametrize("group", [None, "", "  ", float("nan")])
def test_without_a_group_each_image_counts_as_a_patient_and_it_is_said(
    dataset: Path, group: object, caplog
) -> None:
    path = listed(dataset, training=[plain("a", group=group), plain("b")])
    assert [item["group"] for item in load_datalist(path).training] == [
        image_group(f"images/{name}.png") for name in "ab"
    ]
    load_datalist(path, split="training")
    assert "each image counts as a patient" in caplog.text


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [(1, "001", True), ("P1", "p1", True), ("P-1", "P_1", True), (1, 1.0, True), ("P1", "P2", False)],
)
def test_groups_that_look_like_one_are_pointed_out_by_their_places(
    dataset: Path, one: object, other: object, said: bool, caplog
) -> None:
    path = listed(dataset, training=[plain("a", group=one)], test=[plain("d", group=other)])
    with caplog.at_level(logging.WARNING):
        load_datalist(path, split="training")
    assert ("items training 0 and test 0" in caplog.text) == said


@pytest.mark.parametrize(("one", "other"), [(1, "1"), ("P1", "P1 ")])
def test_a_number_is_its_text_and_spaces_around_a_group_count_for_nothing(
    dataset: Path, one: object, other: object
) -> None:
    path = listed(dataset, training=[plain("a", group=one)], test=[plain("d", group=other)])
    with pytest.raises(DatalistError, match="each group"):
        load_datalist(path, split="training")


@pytest.fixture
def decathlon(dataset: Path) -> Path:
    """As published: relative paths, labels by number, a test split of names, no validation."""
    content = {
        "name": "Liver",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "cancer"},
        "numTraining": 3,
        "numTest": 1,
        "training": [{k: f"./{v}" for k, v in plain(name).items()} for name in "abc"],
        "test": ["./images/d.png"],
    }
    (dataset / "dataset.json").write_text(json.dumps(content))
    return dataset / "dataset.json"


def test_a_published_decathlon_list_is_taken_and_its_test_images_are_predicted(decathlon: Path) -> None:
    datalist = load_datalist(decathlon, split="training")
    assert datalist.label_names == ("background", "liver", "cancer")
    assert datalist.label_map == {0: 0, 1: 1, 2: 2}
    assert datalist.training[0]["case"] == case_name("images/a.png")
    assert (datalist.test, [item["case"] for item in datalist.unlabelled]) == (
        (),
        [case_name("images/d.png")],
    )
    with pytest.raises(DatalistError, match=r"1 without labels\. Predict them"):
        load_datalist(decathlon, split="test")
    with pytest.raises(DatalistError, match='--label-map "1=liver,2=cancer"'):
        load_datalist(decathlon, split=("training", "validation"))


def test_a_test_image_without_label_is_no_training_image(decathlon: Path) -> None:
    edited(decathlon, lambda content: content.update(test=["images/b.png"]))
    with pytest.raises(DatalistError, match="once"):
        load_datalist(decathlon, split="training")


def test_one_forgotten_label_is_no_test_without_labels(dataset: Path) -> None:
    items = [plain("a"), {"image": "images/b.png"}]
    with pytest.raises(DatalistError, match="item 1 of test without a path under label"):
        load_datalist(listed(dataset, test=items), split="test")
