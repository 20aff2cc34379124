"""Nothing that identifies reaches a log, MLflow, a checkpoint, a cache or a picture: one sentinel name proves
it.

The name stands in the DICOM headers, in the pixels, in the folder and in every file name. Training,
evaluation, inference and a run that fails go through MONAI's own entry point in one process, whose output is
kept whole.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyraseg.pipeline.phantom import generate
from pyraseg.transforms.io.frames import LoadFrame
from pyraseg.transforms.io.paths import split_frame_path

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "bundles" / "us_hydronephrosis"
SENTINEL, OTHER = (
    "SENTINEL^ZYXWV",
    "ALPHABET^QRSTU",
)  # of one length, so that the burned-in texts take the same room
PLACE = "SENTINEL_ZYXWV"
PARTS = [word[at : at + 5].lower().encode() for word in SENTINEL.split("^") for at in range(len(word) - 4)]
SMALL = {"depth": 18, "input_size": [64, 64], "batch_size": 4, "max_epochs": 1, "experiment_name": "tests"}
FAILING = "---- the run that fails ----"

# Run in the folder above the data, so that the data's folder is given as people give it: by a relative path.
WORKFLOWS = """
import json, sys
from monai.bundle import run
for name, config_file, overrides in json.load(sys.stdin):
    if name == "break":
        print(overrides["say"], flush=True)
        print(overrides["say"], file=sys.stderr, flush=True)
        open(overrides["path"], "r+b").truncate(3000)
    else:
        run(name, config_file=config_file, **overrides)
"""


@dataclass(frozen=True)
class Outcome:
    """What one process that trained, evaluated, predicted and failed has left."""

    above: Path
    output: Path
    returncode: int
    log: str
    log_of_failure: str

    def files(self, pattern: str) -> list[Path]:
        found = sorted(path for path in self.output.glob(pattern) if path.is_file())
        assert found, f"no {pattern}: the test looks in the wrong place"
        return found


def write_data(folder: Path, patient_name: str) -> Path:
    """A phantom of five patients in ``folder``, the sentinel in every file's name."""
    generate(folder, cases=5, seed=5, patient_name=patient_name)
    datalist = folder / "datalist.json"
    content = json.loads(datalist.read_text())
    names: dict[str, str] = {}
    for item in (item for split in ("training", "validation", "test") for item in content[split]):
        for key in ("image", "label"):
            old = split_frame_path(item[key])[0]
            new = old.with_name(f"{PLACE}_{old.name}")
            names[str(old)] = str(new)
            item[key] = item[key].replace(str(old), str(new))
    for old_name, new_name in names.items():
        (folder / old_name).rename(folder / new_name)
    del content["digest"]
    datalist.write_text(json.dumps(content))
    return folder


def jobs(output: Path) -> list[tuple[str, object, dict[str, object]]]:
    """Train on the sentinel's data; evaluate and predict on it and on the other name's; then train on a
    broken file."""
    config = {name: str(BUNDLE / "configs" / f"{name}.yaml") for name in ("train", "evaluate", "inference")}
    common = {"bundle_root": str(BUNDLE), "num_workers": 0}
    tracked = {"tracking_uri": f"sqlite:///{output / 'mlruns.db'}", "cache_dir": str(output / "cache")}
    training = {**common, **tracked, **SMALL, "dataset_dir": f"{PLACE}/us"}
    listed: list[tuple[str, object, dict[str, object]]] = [
        (
            "training",
            config["train"],
            {**training, "output_dir": str(output / "models"), "run_name": "trained"},
        )
    ]
    for name, place in (("ours", f"{PLACE}/us"), ("other", "other/us")):
        model = {**common, "dataset_dir": place, "checkpoint": str(output / "models" / "model.pt")}
        evaluated = {**tracked, "experiment_name": "tests", "run_name": f"evaluated {name}"}
        folder = str(output / f"evaluated_{name}")
        both = [config["train"], config["evaluate"]]
        listed.append(("evaluating", both, {**model, **evaluated, "output_dir": folder}))
        predicted = {
            **model,
            "dataset_dir": f"{place}/images",
            "output_dir": str(output / f"predicted_{name}"),
        }
        listed.append(("inference", config["inference"], predicted))
    failing: dict[str, object] = {"output_dir": str(output / "b"), "run_name": "failed"}
    failing["operating_point"] = {}  # a rule looks at the validation's labels before a run is opened
    return [*listed, ("training", config["train"], {**training, **failing})]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Outcome:
    above, output = tmp_path_factory.mktemp("input"), tmp_path_factory.mktemp("output")
    data = write_data(above / PLACE / "us", SENTINEL)
    write_data(above / "other" / "us", OTHER)
    first = json.loads((data / "datalist.json").read_text())["validation"][0]["image"]
    broken = {"path": str(data / split_frame_path(first)[0]), "say": FAILING}
    *good, failing = jobs(output)
    script = json.dumps([*good, ("break", None, broken), failing])
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name in ("PYRASEG_SHOW_PATHS", "PYRASEG_TRACEBACK", "MLFLOW_TRACKING_URI"):
        variables.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", WORKFLOWS],
        input=script,
        capture_output=True,
        text=True,
        cwd=above,
        env=variables,
    )
    assert FAILING in done.stdout, done.stderr[-3000:]
    broken_log = "".join(text.split(FAILING)[1] for text in (done.stdout, done.stderr))
    return Outcome(above, output, done.returncode, done.stdout + done.stderr, broken_log)


def identifying(text: bytes | str) -> list[str]:
    """The sentinel's parts in ``text``, in any case; not in base64 pictures, where chance writes them."""
    content = text.encode("utf-8", "replace") if isinstance(text, str) else text
    lower = re.sub(rb";base64,[A-Za-z0-9+/=]+", b"", content).lower()
    return [part.decode() for part in PARTS if part in lower]


def stored(path: Path) -> bytes:
    """What a file says: unpacked, and without a checkpoint's weights, whose random bytes spell anything."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if "/data/" not in name]
            return b"\n".join([*map(str.encode, archive.namelist()), *map(archive.read, names)])
    if (
        path.suffix == ".db"
    ):  # value by value: side by side, "associations" and "entity" spell a part of the name
        with closing(sqlite3.connect(path)) as database:
            return "\n".join(database.iterdump()).encode()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_the_data_hold_the_name_in_headers_pixels_and_paths(outcome):
    """Or else the tests below could not fail."""
    images = sorted((outcome.above / PLACE / "us" / "images").rglob("*.dcm"))
    others = sorted((outcome.above / "other" / "us" / "images").rglob("*.dcm"))
    assert [image.name for image in images] == [other.name for other in others]
    assert all(identifying(image.name) == [part.decode() for part in PARTS] for image in images)
    assert all(identifying(image.read_bytes()) for image in images)
    shown = [
        (LoadFrame()(f"{image}#frame_index=0"), LoadFrame()(f"{other}#frame_index=0"))
        for image, other in zip(images, others, strict=True)
        if image.stat().st_size > 3000
    ]
    assert len(shown) == 4
    assert all(bool((image != other).any()) for image, other in shown)


def test_no_line_of_the_log_identifies(outcome):
    assert all(f"pipeline.{part}" in outcome.log for part in ("training", "evaluation"))
    assert [line for line in outcome.log.splitlines() if identifying(line)] == []


def test_no_output_bears_or_holds_the_name_but_the_table_that_leads_back(outcome):
    for pattern in (
        "mlruns.db",
        "mlruns/**/*",
        "models/*.pt",
        "cache/*",
        "evaluated_*/*",
        "predicted_*/**/*.nii.gz",
    ):
        assert [path.name for path in outcome.files(pattern) if identifying(stored(path))] == []
    named = [path for path in outcome.files("**/*") if identifying(str(path.relative_to(outcome.output)))]
    holding = [
        path.relative_to(outcome.output) for path in outcome.files("**/*") if identifying(stored(path))
    ]
    assert named == []
    database = (outcome.output / "mlruns.db").read_bytes().lower()  # deleted rows included
    assert not any(word.lower().encode() in database for word in SENTINEL.split("^"))
    assert sorted(map(str, holding)) == ["predicted_other/cases.csv", "predicted_ours/cases.csv"]


def test_pictures_are_the_same_whatever_name_is_burned_in(outcome):
    for kind in ("evaluated", "predicted"):
        ours, others = (outcome.files(f"{kind}_{name}/**/*.png") for name in ("ours", "other"))
        assert [path.name for path in ours] == [path.name for path in others]
        assert [
            a.name for a, b in zip(ours, others, strict=True) if not np.array_equal(pixels(a), pixels(b))
        ] == []


def test_the_pictures_in_mlflow_are_the_ones_compared(outcome):
    logged = {pixels(path).tobytes() for path in outcome.files("mlruns/**/overlays/test.png")}
    assert logged == {pixels(path).tobytes() for path in outcome.files("evaluated_*/overlays.png")}
    assert len(outcome.files("mlruns/**/overlays/validation.png")) == 1


def test_a_run_that_fails_says_why_and_not_whose_file_it_was(outcome):
    from mlflow import MlflowClient

    assert outcome.returncode == 1
    assert "InputError: wanted" in outcome.log_of_failure
    assert str(outcome.above) not in outcome.log_of_failure
    client = MlflowClient(f"sqlite:///{outcome.output / 'mlruns.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    status = {run.info.run_name: run.info.status for run in runs}
    ended = {
        "trained": "FINISHED",
        "evaluated ours": "FINISHED",
        "evaluated other": "FINISHED",
        "failed": "FAILED",
    }
    assert status == ended
    for run in runs:
        said = json.dumps([run.to_dictionary()["data"], run.info.run_name])
        assert identifying(said) == []
        assert str(outcome.above) not in said
