"""The libraries report nothing to their makers: no ID is written, and nothing that sends is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
SWITCHES = ("CI", "TF_BUILD", "JENKINS_URL", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")


def test_loading_the_libraries_leaves_no_trace_in_the_home_folder(tmp_path):
    names = ("openvino", "onnxruntime")
    for name in names:
        pytest.importorskip(name, reason="an optional library")
    code = (
        "import sys, torch\n"
        "from pyraseg.pipeline.inference.backends import build_backend\n"
        "network = torch.nn.Conv2d(1, 2, 3, padding=1)\n"
        f"for name in {names!r}:\n"
        "    backend = build_backend(name, network=network, device=torch.device('cpu'), amp=False,\n"
        "        threads=1, input_size=(16, 16), in_channels=1, weights_hash='0')\n"
        "    backend(torch.rand(2, 1, 16, 16))\n"
        "print([m for m, module in sys.modules.items() if m.startswith('openvino_telemetry') and module])\n"
    )
    environment = {
        key: value for key, value in os.environ.items() if key not in SWITCHES and "XDG" not in key
    }
    environment |= {"HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path / "plots")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert not (tmp_path / "intel").exists()
    assert not (tmp_path / ".cache" / "Microsoft").exists()
    assert (tmp_path / ".cache" / "pyraseg" / "backends").is_dir()
