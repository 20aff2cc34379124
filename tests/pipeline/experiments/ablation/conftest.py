"""A datalist with a test split, a bundle's configs with an overlay, and a grid of two axes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pyraseg.pipeline.experiments import Ablation

GRID = """
attention:
  none: {attention: none}
  cbam: {attention: cbam}
labels:
  hard: {}
  soft: {config: soft_labels, soft_beta: 0.5}
"""
CONFIGS = {
    "train": "bundle_root: .\ntracking_uri: $'sqlite:///' + @bundle_root + '/mlruns.db'\n"
    "experiment_name: grids\ntrack: true\nattention: cbam\ndepth: 50\naux: true\nclass_weights:\n",
    "evaluate": "surfaces: true\n",
    "soft_labels": "soft_loss: superpixel\nsoft_beta: 1.0\n",
}


@pytest.fixture
def workspace(tmp_path) -> Path:
    """``bundle``, ``data`` with its datalist, ``grid.yaml``; ``out`` is still to be made."""
    configs = tmp_path / "bundle" / "configs"
    configs.mkdir(parents=True)
    for name, content in CONFIGS.items():
        (configs / f"{name}.yaml").write_text(content)
    data = tmp_path / "data"
    data.mkdir()
    splits = {
        split: [{"image": f"{split}.png", "label": "label.png", "case": f"{split[:2]}1", "group": split[:2]}]
        for split in ("training", "validation", "test")
    }
    for name in (*splits, "label"):
        (data / f"{name}.png").touch()
    content = {"label_names": ["background", "kidney"], "keep_names": True, **splits}
    (data / "datalist.json").write_text(json.dumps(content))
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path


@pytest.fixture
def plan(workspace) -> Callable[..., Ablation]:
    def make(*overrides: str, grid: str | None = None, **options: object) -> Ablation:
        if grid is not None:
            (workspace / "grid.yaml").write_text(grid)
        options = {"grid": workspace / "grid.yaml", "output": workspace / "out", "seeds": "0,1", **options}
        words = overrides or ("--track", "false")
        return Ablation(workspace / "bundle", workspace / "data", overrides=words, **options)

    return make
