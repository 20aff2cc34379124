"""A checkpoint is whole or absent, says what it is, and is written when there is something new to keep."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Average
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler

from pyraseg.pipeline.networks.checkpoint import facts_of
from pyraseg.pipeline.training.checkpoints import BEST, LAST, Checkpoints, save_checkpoint
from pyraseg.transforms.errors import OutputError, RunError

CPU = torch.device("cpu")
FACTS = {
    "label_names": ["background", "kidney"],
    "input_size": [64, 64],
    "network": {"depth": 18, "in_channels": 1},
}


class Unwritable:
    """Something that no file can hold."""

    def __reduce__(self):
        raise RuntimeError("cannot be stored")


class TestSaveCheckpoint:
    def test_what_was_saved_loads_without_running_code(self, tmp_path):
        path = save_checkpoint(
            tmp_path / "new" / BEST, {"model": {"weight": torch.ones(2)}, **FACTS, "epoch": 3}
        )
        content = torch.load(path, weights_only=True)
        assert torch.equal(content["model"]["weight"], torch.ones(2))
        assert content["epoch"] == 3
        assert content["label_names"] == FACTS["label_names"]

    def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(self, tmp_path):
        path = save_checkpoint(tmp_path / BEST, {"epoch": 1})
        with pytest.raises(RuntimeError, match="cannot be stored"):
            save_checkpoint(path, {"model": torch.ones(1000), "epoch": Unwritable()})
        assert torch.load(path, weights_only=True) == {"epoch": 1}
        assert [file.name for file in tmp_path.iterdir()] == [BEST]

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_no_numbers_replace_no_earlier_file(self, tmp_path, value):
        path = save_checkpoint(tmp_path / BEST, {"model": {"weight": torch.ones(2)}})
        for content in (
            {"model": {"weight": torch.tensor([1.0, value])}},
            {"state": {"optimizer": [{"step": torch.tensor(value)}]}},
        ):
            with pytest.raises(RunError, match="weights of finite numbers"):
                save_checkpoint(path, content)
        assert torch.load(path, weights_only=True)["model"]["weight"].tolist() == [1, 1]

    def test_a_full_disk_is_said_as_such_and_the_earlier_file_stays(self, tmp_path):
        path = save_checkpoint(tmp_path / BEST, {"epoch": 1})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))  # stands for the end of the disk
        try:
            with pytest.raises(OutputError, match="no room for it"):
                save_checkpoint(path, {"model": torch.ones(2**20)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert torch.load(path, weights_only=True) == {"epoch": 1}
        assert [file.name for file in tmp_path.iterdir()] == [BEST]

    def test_a_place_that_cannot_be_written_is_said_without_the_path(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError) as raised:
            save_checkpoint(tmp_path / "file" / BEST, {"epoch": 1})
        assert raised.value.path == str(tmp_path / "file" / BEST)
        assert str(tmp_path) not in str(raised.value)


def loader() -> DataLoader:
    return DataLoader(
        Dataset([{"image": torch.ones(1), "label": torch.zeros(1)}] * 2), batch_size=1, num_workers=0
    )


def train(folder, scores: list[float]) -> dict[str, list[tuple[int, float]]]:
    """Train a network of one weight for an epoch a score; after each, what both files hold: (epoch,
    weight)."""
    network = torch.nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    checkpoints = Checkpoints(folder, network=network, state={"optimizer": optimizer}, facts=FACTS)
    values = iter([score for score in scores for _ in range(2)])
    evaluator = SupervisedEvaluator(
        device=CPU,
        val_data_loader=loader(),
        network=network,
        key_val_metric={"score": Average(output_transform=lambda _: next(values))},
        val_handlers=[checkpoints],
    )
    trainer = SupervisedTrainer(
        device=CPU,
        max_epochs=len(scores),
        train_data_loader=loader(),
        network=network,
        optimizer=optimizer,
        loss_function=torch.nn.MSELoss(),
        train_handlers=[ValidationHandler(1, evaluator, epoch_level=True), checkpoints],
        decollate=False,
    )
    history: dict[str, list[tuple[int, float]]] = {BEST: [], LAST: [], "network": []}

    def look() -> None:
        for name in (BEST, LAST):
            content = torch.load(folder / name, weights_only=True)
            weight = content.get("model", content)["weight"]
            history[name].append((facts_of(content)["epoch"], float(weight)))
        history["network"].append((trainer.state.epoch, network.weight.item()))

    trainer.add_event_handler(Events.EPOCH_COMPLETED, look)
    trainer.run()
    return history


class TestCheckpoints:
    def test_the_last_state_is_written_after_every_epoch_and_the_best_when_the_metric_rose(self, tmp_path):
        history = train(tmp_path, [0.2, 0.5, 0.4, 0.5, 0.6])
        assert [epoch for epoch, _ in history[LAST]] == [1, 2, 3, 4, 5]
        assert [epoch for epoch, _ in history[BEST]] == [1, 2, 2, 2, 5]
        assert history[LAST] == history["network"]
        of_epoch = dict(history["network"])
        assert [weight for _, weight in history[BEST]] == [of_epoch[epoch] for epoch in (1, 2, 2, 2, 5)]

    def test_the_best_network_is_a_plain_state_dict_as_the_model_zoo_has_it(self, tmp_path):
        train(tmp_path, [0.2])
        network = torch.nn.Linear(1, 1, bias=False)
        assert network.load_state_dict(torch.load(tmp_path / BEST, weights_only=True))

    def test_both_files_say_what_they_are_and_the_last_one_how_to_go_on(self, tmp_path):
        train(tmp_path, [0.2, 0.1])
        best, last = (torch.load(tmp_path / name, weights_only=True) for name in (BEST, LAST))
        assert facts_of(best).items() >= FACTS.items()
        assert last.items() >= FACTS.items()
        assert facts_of(best)["best_metric"] == pytest.approx(0.2)
        assert last["state"]["optimizer"]["state"][0]["momentum_buffer"].shape == (1, 1)
        assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, BEST]

    def test_one_folder_takes_one_running_training_and_is_gone_where_none_could_begin(self, tmp_path):
        folder = tmp_path / "models"
        network = torch.nn.Linear(1, 1)
        checkpoints = Checkpoints(folder, network=network, state={}, facts=FACTS)
        with checkpoints:
            pass
        assert not folder.exists()
        folder.mkdir()
        script = (
            "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.lockf(f, 2); print(flush=True); input()"
        )
        arguments = [sys.executable, "-c", script, folder / ".lock"]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            with pytest.raises(OutputError, match="a training which is running"), checkpoints:
                pass
            other.communicate(b"\n")
        with checkpoints:
            pass
