"""One small phantom and one short training run that the bundle tests share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from pyraseg.pipeline.phantom import generate

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"depth": 18, "input_size": [64, 64], "batch_size": 4, "num_workers": 0, "learning_rate": 0.003}


@dataclass(frozen=True)
class Workspace:
    """A bundle, data to run it on, and where its outputs go."""

    bundle: Path
    data: Path
    output: Path

    def config(self, name: str) -> str:
        return str(self.bundle / "configs" / f"{name}.yaml")

    @property
    def store(self) -> str:
        return f"sqlite:///{self.output / 'mlruns.db'}"

    @property
    def common(self) -> dict[str, object]:
        """Overrides that every run on this workspace takes."""
        return {"bundle_root": str(self.bundle), "dataset_dir": str(self.data), "num_workers": 0}

    def training(self, name: str = "models") -> dict[str, object]:
        """Overrides for a short training run into the folder ``name``."""
        return {
            **self.common,
            **SMALL,
            "output_dir": str(self.output / name),
            "cache_dir": str(self.output / "cache"),
            "tracking_uri": self.store,
            "experiment_name": "tests",
        }


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    """Ten patients, single frames and cines."""
    folder = tmp_path_factory.mktemp("phantom") / "us"
    generate(folder, modality="us", cases=10, seed=3)
    return folder


@pytest.fixture(scope="session")
def ultrasound(phantom, tmp_path_factory) -> Workspace:
    return Workspace(ROOT / "bundles" / "us_hydronephrosis", phantom, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def trained(ultrasound) -> Path:
    """The checkpoint of a two-epoch training run through MONAI's own entry point."""
    from monai.bundle import run

    run(
        "training",
        config_file=ultrasound.config("train"),
        max_epochs=2,
        run_name="trained",
        **ultrasound.training(),
    )
    return ultrasound.output / "models" / "model.pt"
