"""The pass over the validation split at a training's end: once, kept in the checkpoint, resumable."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose

from pyraseg.pipeline.inference import SegmentationInferer, require_as_trained, trained_facts
from pyraseg.pipeline.networks.checkpoint import facts_of, read_checkpoint, with_facts
from pyraseg.pipeline.training.checkpoints import BEST, Checkpoints, save_checkpoint
from pyraseg.pipeline.trust import Calibration
from pyraseg.transforms.errors import CheckpointError

FACTS = {"label_names": ["background", "fluid"], "input_size": [4, 4], "network": {"in_channels": 1}}


class Counting:
    """A calibrator that remembers the cases."""

    name = "counting"
    uses_point = False

    def __init__(self, rule: float = 0.1) -> None:
        self.settings = {"rule": rule}
        self.records: list[str] = []

    def check(self, items) -> None:
        self.records = ["checked"]

    def add(self, item) -> None:
        assert item["probabilities"].shape == (2, 4, 4)
        self.records.append(item["case"])

    def facts(self) -> dict:
        return {"cases": list(self.records)}

    def write(self, folder: Path, facts) -> list[Path]:
        folder.mkdir(exist_ok=True)
        (folder / "counting.txt").write_text(str(facts))
        return [folder / "counting.txt"]


class Recorder:
    def __init__(self) -> None:
        self.logged: list[tuple[str, str]] = []

    def log_file(self, path: Path, folder: str) -> None:
        self.logged.append((path.name, folder))


def calibration(folder: Path, tracker: Recorder, **options) -> Calibration:
    network = torch.nn.Conv2d(1, 2, 1)
    items = [
        {"image": torch.rand(1, 4, 4), "label": torch.zeros(1, 4, 4), "case": c, "group": c} for c in "ab"
    ]
    inferer = SegmentationInferer(device="cpu", amp=False)
    validator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=1, num_workers=0),
        network=network,
        inferer=inferer,
    )
    checkpoints = Checkpoints(folder, network=network, state={}, facts=FACTS)
    if not (folder / BEST).is_file():
        save_checkpoint(folder / BEST, with_facts(network.state_dict(), {**FACTS, "epoch": 3}))
    return Calibration(
        [Counting(**options)],
        checkpoints=checkpoints,
        validator=validator,
        postprocessing=Compose([lambda item: {**item, "probabilities": item["pred"].softmax(dim=0)}]),
        tracker=tracker,
    )


class TestACalibration:
    def test_sees_each_case_once_and_stays_with_the_weights(self, tmp_path):
        tracker = Recorder()
        made = calibration(tmp_path, tracker)
        before = read_checkpoint(tmp_path / BEST)
        made.make()
        content = read_checkpoint(tmp_path / BEST)
        assert facts_of(content)["calibration"]["counting"] == {"cases": ["a", "b"]}
        assert facts_of(content)["epoch"] == 3
        assert all(torch.equal(content[name], value) for name, value in before.items())
        assert tracker.logged == [("counting.txt", "calibration")]

    def test_is_made_again_only_where_its_settings_are_others(self, tmp_path):
        made = calibration(tmp_path, Recorder())
        assert not made.is_made(tmp_path / BEST)
        made.make()
        assert calibration(tmp_path, Recorder()).is_made(tmp_path / BEST)
        assert not calibration(tmp_path, Recorder(), rule=0.2).is_made(tmp_path / BEST)

    def test_is_read_back_with_the_checkpoint_s_facts(self, tmp_path):
        calibration(tmp_path, Recorder()).make()
        facts = trained_facts(tmp_path / BEST, **FACTS)
        assert facts["calibrations"][0]["counting"] == {"cases": ["a", "b"]}

    def test_of_other_labels_is_refused(self, tmp_path):
        calibration(tmp_path, Recorder()).make()
        state = read_checkpoint(tmp_path / BEST)
        facts = facts_of(state)
        for wrong in ({"label_names": ["background", "kidney"]}, {"input_size": [8, 8]}):
            changed = {**facts, "calibration": {**facts["calibration"], **wrong}}
            save_checkpoint(tmp_path / "changed.pt", with_facts(state, changed))
            with pytest.raises(CheckpointError, match="calibration of the checkpoint's own"):
                trained_facts(tmp_path / "changed.pt", **FACTS)

    def test_is_named_in_the_log_where_inference_differs_from_its_own(self, tmp_path, caplog):
        calibration(tmp_path, Recorder()).make()
        trained = trained_facts(tmp_path / BEST, **FACTS)
        caplog.clear()
        known = {"preprocessing": Compose([]), "label_names": FACTS["label_names"]}
        require_as_trained({**trained, "stated": {}}, inferer=SegmentationInferer(device="cpu"), **known)
        assert caplog.text == ""
        flipped = SegmentationInferer(device="cpu", tta_flips=["w"])
        require_as_trained({**trained, "stated": {}}, inferer=flipped, **known)
        assert "were found with flips []; here it is flips ['w']" in caplog.text
