"""Two processes train one network on the CPU: the same weights on both, each case validated once, one run,
one file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from tests.bundles.test_resuming import command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def twice(ultrasound, tmp_path_factory) -> Path:
    """The folder in which each process wrote what it ended with."""
    folder = tmp_path_factory.mktemp("ranks")
    overlay = folder / "record.yaml"
    overlay.write_text(
        "+train::handlers:\n- _target_: tests.pipeline.training.record.Record\n"
        f"  folder: {folder}\n  network: '@network'\n  evaluator: '@validate::evaluator'\n"
    )
    content = json.loads((ultrasound.data / "datalist.json").read_text())
    content["validation"] = content["validation"][:5]  # one process has a case more than the other
    (folder / "datalist.json").write_text(json.dumps(content))
    words = command(
        ultrasound,
        "processes",
        ultrasound.config("multi_gpu_train"),
        str(overlay),
        max_epochs=2,
        batch_size=2,
        num_workers=0,
        device="cpu",
        frozen_epochs=1,
        datalist=folder / "datalist.json",
    )
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [sys.executable, *torchrun, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_the_parameters_are_bit_equal_and_the_buffers_rank_0_s(twice, ultrasound):
    first, second = (torch.load(twice / f"{rank}.pt", weights_only=True)["model"] for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    kept = torch.load(ultrasound.output / "processes" / "last.pt", weights_only=True)["model"]
    assert all(torch.equal(kept[name], value) for name, value in first.items())


def test_the_processes_saw_different_frames(twice):
    seen = [set(torch.load(twice / f"{rank}.pt", weights_only=True)["trained"]) for rank in (0, 1)]
    assert seen[0]
    assert not seen[0] & seen[1]


def test_each_case_is_validated_exactly_once_and_measured_by_both(twice):
    content = [torch.load(twice / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    expected = Counter(
        item["case"] for item in json.loads((twice / "datalist.json").read_text())["validation"]
    )
    assert len(expected) % 2
    assert Counter(content[0]["validated"] + content[1]["validated"]) == expected
    assert content[0]["metric"] == content[1]["metric"]


def test_there_is_one_mlflow_run_and_one_checkpoint(twice, ultrasound):
    client = MlflowClient(ultrasound.store)
    experiment = client.get_experiment_by_name("tests").experiment_id
    (run,) = [run for run in client.search_runs([experiment]) if run.info.run_name == "processes"]
    assert run.info.status == "FINISHED"
    content = torch.load(twice / "0.pt", weights_only=True)
    assert run.data.metrics["val_mean_dice"] == pytest.approx(content["metric"])
    assert sorted(p.name for p in (ultrasound.output / "processes").glob("*.pt")) == ["last.pt", "model.pt"]
