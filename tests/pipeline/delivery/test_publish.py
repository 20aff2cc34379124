"""A published folder is whole, says what its weights are and what the test found, and holds nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import verify_net_in_out

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.delivery.info import describe
from pyraseg.pipeline.evaluation.result_files import write_results
from pyraseg.pipeline.evaluation.scores import CaseScore
from pyraseg.pipeline.evaluation.summary import Results
from pyraseg.pipeline.networks.checkpoint import facts_of, find_state, read_checkpoint, with_facts
from pyraseg.pipeline.utils.files import sha256_of
from tests.pipeline.prediction.runs import BUNDLE, LABELS, SIZE, write_checkpoint

pytest.importorskip("safetensors", reason="an optional library")

LICENCE = "Frames of our own hospital. CC BY-NC 4.0: not for commercial use."


def weights_alone(path: Path) -> Path:
    """A checkpoint as a training writes its ``model.pt``."""
    content = read_checkpoint(write_checkpoint(path))
    torch.save(with_facts(content["model"], facts_of(content)), path)
    return path


@pytest.fixture(scope="module")
def handed(tmp_path_factory) -> dict[str, str]:
    """What a user names: a bundle beside other things, weights, their test, a text on the data."""
    folder = tmp_path_factory.mktemp("handed")
    bundle = folder / "bundle"
    shutil.copytree(BUNDLE, bundle)
    (bundle / "data").mkdir()
    (bundle / "data" / "Doe^Jane.dcm").write_bytes(b"private")
    checkpoint = weights_alone(folder / "model.pt")
    scores = [CaseScore(f"c{n}", f"g{n}", name, 10, 10, 5 + n) for n in range(4) for name in LABELS[1:]]
    about = {"split": "test", "weights_sha256": [sha256_of(checkpoint)], "run_id": "e" * 32}
    write_results(folder / "eval", Results(tuple(scores), resamples=50), about=about)
    (folder / "licence.txt").write_text(LICENCE, encoding="utf-8")
    names = {"--checkpoint": "model.pt", "--evaluation": "eval", "--data-license": "licence.txt"}
    return {"bundle": str(bundle), **{option: str(folder / name) for option, name in names.items()}}


def publish(given: dict[str, str], output: Path, **options: str) -> int:
    words = [word for option, value in given.items() if option != "bundle" for word in (option, value)]
    more = [word for name, value in options.items() for word in (f"--{name}", value)]
    return main(["publish", given["bundle"], *words, "--output", str(output), *more])


@pytest.fixture(scope="module")
def published(handed, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("published") / "kidney"
    assert publish(handed, output, url="https://example.org/kidney/") == 0
    return output


def test_it_holds_the_bundle_s_configs_and_nothing_else_that_lay_there(published):
    names = {str(path.relative_to(published)) for path in published.rglob("*") if path.is_file()}
    configs = {f"configs/{path.name}" for path in (BUNDLE / "configs").iterdir()}
    weights = {"models/model.pt", "models/model.safetensors"}
    texts = {"LICENSE", "README.md", "docs/README.md", "docs/data_license.txt", "large_files.yml"}
    assert names == configs | weights | texts


def test_both_files_of_weights_are_the_checkpoint(published, handed):
    from safetensors.torch import load_file

    assert sha256_of(published / "models/model.pt") == sha256_of(handed["--checkpoint"])
    wanted = find_state(read_checkpoint(handed["--checkpoint"]), path="")
    found = load_file(published / "models/model.safetensors")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_large_files_have_address_and_hash(published):
    entries = yaml.safe_load((published / "large_files.yml").read_text())["large_files"]
    assert [entry["url"] for entry in entries] == [f"https://example.org/kidney/{e['path']}" for e in entries]
    assert [entry["hash_val"] for entry in entries] == [sha256_of(published / e["path"]) for e in entries]


def test_the_card_has_the_figures_of_the_test_and_the_licence_of_the_data(published):
    text = (published / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["license_link"] == "docs/data_license.txt"
    assert body == (published / "docs/README.md").read_text(encoding="utf-8")
    dice = json.loads((published / "configs/metadata.json").read_text())["eval_metrics"]["dice_kidney"]
    assert f"| kidney | {dice:.3f} (" in body
    assert sha256_of(published / "models/model.pt") in body
    assert "Colour Doppler frames are read but" in body
    assert (published / "docs/data_license.txt").read_text(encoding="utf-8").strip() == LICENCE


def test_metadata_and_network_belong_together(published):
    metadata, config = (str(published / "configs" / name) for name in ("metadata.json", "inference.yaml"))
    declared = json.loads(Path(metadata).read_text())
    assert declared["network_data_format"]["inputs"]["image"]["spatial_shape"] == SIZE
    assert declared["version"] in declared["changelog"]
    verify_net_in_out(
        net_id="network_def", meta_file=metadata, config_file=config, bundle_root=str(published), device="cpu"
    )
    assert describe(published)["checkpoint"]["sha256"] == sha256_of(published / "models/model.pt")


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--checkpoint", None, "no such file"),
        ("--evaluation", None, "a summary.json as pyraseg writes it"),
        ("--evaluation", {"split": "validation"}, "not of the test split"),
        ("--evaluation", {"weights_sha256": ["0" * 64]}, "not of these weights"),
        ("--data-license", b" \n", "found an empty file"),
        ("--data-license", None, "licence of the training data"),
        ("bundle", None, "a MONAI bundle"),
    ],
)
def test_what_is_missing_or_belongs_elsewhere_is_refused(option, content, said, handed, tmp_path, capsys):
    there = tmp_path / "there"
    if isinstance(content, dict):
        summary = json.loads((Path(handed["--evaluation"]) / "summary.json").read_text())
        there.mkdir()
        (there / "summary.json").write_text(
            json.dumps(summary | {"evaluated": summary["evaluated"] | content})
        )
    elif content is not None:
        there.write_bytes(content)
    assert publish(handed | {option: str(there)}, tmp_path / "out") == 1
    assert said in capsys.readouterr().err
    assert [path for path in tmp_path.iterdir() if path != there] == []


def test_weights_of_other_classes_or_with_a_training_s_state_and_a_folder_in_use_are_refused(
    handed, tmp_path, capsys
):
    two = write_checkpoint(tmp_path / "two.pt", labels=("background", "hydronephrosis"))
    assert publish(handed | {"--checkpoint": str(two)}, tmp_path / "out") == 1
    assert "found background, hydronephrosis" in capsys.readouterr().err
    assert publish(handed, tmp_path) == 1
    assert "wanted a new folder" in capsys.readouterr().err
    last = write_checkpoint(tmp_path / "last.pt")
    summary = json.loads((Path(handed["--evaluation"]) / "summary.json").read_text())
    summary["evaluated"]["weights_sha256"] = [sha256_of(last)]
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    own = {"--checkpoint": str(last), "--evaluation": str(tmp_path / "eval")}
    assert publish(handed | own, tmp_path / "out") == 1
    assert "wanted weights alone" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"two.pt", "last.pt", "eval"}
