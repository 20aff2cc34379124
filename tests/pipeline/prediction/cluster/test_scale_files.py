"""The files of docs/scale: what they would run, with the variables that Slurm and Kubernetes set."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyraseg.pipeline.commands.predict import Predict

SCALE = Path(__file__).parents[4] / "docs" / "scale"


@pytest.fixture
def stub(tmp_path) -> Path:
    """A ``pyraseg`` that prints its arguments."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pyraseg").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "bin" / "pyraseg").chmod(0o755)
    return tmp_path


def parsed(command: list[str], variables: dict[str, str]) -> argparse.Namespace:
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    verb, *words = done.stdout.splitlines()
    assert verb == "predict"
    parser = argparse.ArgumentParser()
    Predict().add_arguments(parser)
    return parser.parse_args(words)


def test_a_task_of_slurms_array_is_a_shard(stub):
    script = SCALE / "predict.slurm"
    variables = {"VENV": str(stub), "SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "4"}
    asked = parsed(["bash", str(script)], variables)
    shards = re.search(r"^#SBATCH --array=1-(\d+)$", script.read_text(), re.MULTILINE)
    assert asked.shard == f"3/{shards[1]}"
    assert (asked.resume, asked.workers, asked.output) == (True, 5, "/data/results")


def test_an_index_of_kubernetes_job_is_a_shard(stub):
    job: dict[str, Any] = yaml.safe_load((SCALE / "predict-job.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    last = job["spec"]["completions"] - 1
    variables |= {"JOB_COMPLETION_INDEX": str(last), "PATH": f"{stub / 'bin'}:{os.environ['PATH']}"}
    asked = parsed([*container["command"], *container["args"]], variables)
    assert asked.shard == f"{last + 1}/{job['spec']['completions']}"
    assert (asked.resume, asked.workers) == (True, 9)
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    assert {*asked.inputs, asked.bundle, asked.output} == mounts
