"""A datalist in three folds with a test split, and a bundle's configs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pyraseg.pipeline.experiments import CrossValidation
from tests.pipeline.experiments.cross_validation.pretender import FOLDS


@pytest.fixture
def workspace(tmp_path) -> Path:
    """``bundle``, ``data`` with its datalist; ``out`` is still to be made."""
    for name in ("train", "evaluate"):
        (tmp_path / "bundle" / "configs").mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / "configs" / f"{name}.yaml").write_text(
            "bundle_root: .\ntracking_uri: $'sqlite:///' + @bundle_root + '/mlruns.db'\n"
            "experiment_name: folds\ntrack: true\nrun_name:\ndepth: 50\naux: true\npretrained:\n"
        )
    data = tmp_path / "data"
    data.mkdir()

    def item(case: str) -> dict[str, str]:
        for name in (case, "label"):
            (data / f"{name}.png").touch()
        return {"image": f"{case}.png", "label": "label.png", "case": case, "group": case[0]}

    training = [{**item(case), "fold": fold} for fold, cases in FOLDS.items() for case in cases]
    content = {"label_names": ["background", "kidney"], "training": training, "keep_names": True}
    content["test"] = [item("t1")]
    (data / "datalist.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def plan(workspace) -> Callable[..., CrossValidation]:
    def make(*overrides: str, **options: object) -> CrossValidation:
        words = overrides or ("--track", "false")
        return CrossValidation(
            workspace / "bundle", workspace / "data", output=workspace / "out", overrides=words, **options
        )

    return make
