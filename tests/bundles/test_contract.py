"""What every bundle must have and do, by MONAI's checks and the model zoo's rules; it is enough to be
there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from pyraseg.pipeline.bundle.segments import resolve_segments
from pyraseg.pipeline.networks import build_network
from pyraseg.pipeline.networks.checkpoint import with_facts

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent.parent for path in ROOT.glob("bundles/*/configs/metadata.json"))
PLACES = re.compile(r"(/home/|/root/|/Users/|/work/|[A-Z]:\\\\)")
ZOO_LIMIT = 25 * 2**20  # bytes of a file in git


@pytest.fixture(params=BUNDLES, ids=lambda path: path.name)
def bundle(request) -> Path:
    return request.param


def network_of(bundle: Path) -> str:
    """Its network and the size of its input, in letters."""
    trained = ConfigParser.load_config_file(str(bundle / "configs" / "inference.yaml"))["trained"]
    return json.dumps([trained["network"], trained["input_size"]])


def metadata(bundle: Path) -> dict:
    return json.loads((bundle / "configs" / "metadata.json").read_text())


def files(bundle: Path) -> list[Path]:
    kept = ("configs", "docs", "LICENSE")
    return [
        path for name in kept for path in [bundle / name, *(bundle / name).glob("**/*")] if path.is_file()
    ]


def test_the_metadata_fits_monai_s_schema(bundle, shared_data):
    schema = shared_data / "monai_schema" / "meta_schema_20240725.json"
    verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(schema))


def test_the_model_zoo_s_files_are_there(bundle):
    names = [
        "LICENSE",
        "configs/train.yaml",
        "configs/evaluate.yaml",
        "configs/inference.yaml",
        "configs/logging.conf",
    ]
    names += ["docs/README.md", "docs/data_license.txt"]
    assert [name for name in names if not (bundle / name).is_file()] == []
    assert all(path.stat().st_size < ZOO_LIMIT for path in files(bundle))


def test_the_version_is_in_the_changelog(bundle):
    meta = metadata(bundle)
    assert meta["version"] in meta["changelog"]


def test_no_file_names_a_place_on_somebody_s_machine(bundle):
    assert [path.name for path in files(bundle) if PLACES.search(path.read_text())] == []


def test_segments_inputs_and_outputs_agree(bundle):
    meta = metadata(bundle)
    names = [segment["name"] for segment in meta["segments"]]
    outputs = meta["network_data_format"]["outputs"]["pred"]
    assert list(outputs["channel_def"].values()) == names
    assert outputs["num_channels"] == len(names)
    train = ConfigParser.load_config_file(str(bundle / "configs" / "train.yaml"))
    inputs = meta["network_data_format"]["inputs"]["image"]
    assert (inputs["spatial_shape"], inputs["num_channels"]) == (train["input_size"], train["in_channels"])
    assert train["label_names"] == names
    assert all(segment.type for segment in resolve_segments(names, meta["segments"])[1:])


@pytest.fixture(params={network_of(path): path for path in BUNDLES}.values(), ids=lambda path: path.name)
def with_own_network(request) -> Path:
    """A bundle of each network."""
    return request.param


def test_the_network_takes_and_gives_what_the_metadata_says(with_own_network):
    bundle = with_own_network
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.yaml"),
        bundle_root=str(bundle),
        device="cpu",
    )


def test_a_checkpoint_of_other_classes_exports_to_torchscript_with_its_own_and_agrees(
    with_own_network, tmp_path
):
    """And with the whole config, as the Deploy App SDK reads it."""
    bundle = with_own_network
    config = str(bundle / "configs" / "inference.yaml")
    workflow = ConfigWorkflow(config_file=config, logging_file=False, bundle_root=str(bundle))
    network = workflow.parser.get_parsed_content("network_def").eval()
    network = build_network(**{**network.options, "out_channels": 2}).eval()
    facts = {"label_names": ["background", "edema"], "network": network.options}
    torch.save(with_facts(network.state_dict(), facts), tmp_path / "model.pt")
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tmp_path / "model.pt"),
        config_file=config,
        meta_file=str(bundle / "configs" / "metadata.json"),
        bundle_root=str(bundle),
    )
    with zipfile.ZipFile(tmp_path / "model.ts") as archive:
        texts = {Path(name).name: name for name in archive.namelist() if name.endswith(".json")}
        told, again = (json.loads(archive.read(texts[f"{name}.json"])) for name in ("metadata", "inference"))
    assert again == ConfigParser.load_config_file(config)
    assert told["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "edema"}
    assert [(segment["value"], segment["name"]) for segment in told["segments"]] == [
        (0, "background"),
        (1, "edema"),
    ]
    exported = torch.jit.load(str(tmp_path / "model.ts")).eval()
    inputs = metadata(bundle)["network_data_format"]["inputs"]["image"]
    image = torch.rand(1, inputs["num_channels"], *inputs["spatial_shape"])
    with torch.no_grad():
        assert torch.allclose(exported(image), network(image), atol=1e-5)


READS_A_BROKEN_VALUE = """
import logging.config, sys, warnings
from pydicom import config, valuerep
logging.config.fileConfig(sys.argv[1], disable_existing_loggers=False)
warnings.simplefilter("ignore")
valuerep.validate_value("UI", "SENTINEL^NAME", config.WARN)
logging.getLogger("pyraseg.pipeline").info("a line of ours")
"""


def test_no_value_of_a_header_reaches_the_log():
    files = [bundle / "configs" / "logging.conf" for bundle in BUNDLES]
    assert len({path.read_text() for path in files}) == 1
    command = [sys.executable, "-c", READS_A_BROKEN_VALUE, str(files[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a line of ours" in done.stdout
    assert "SENTINEL" not in done.stdout + done.stderr
