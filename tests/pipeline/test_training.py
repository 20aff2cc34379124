"""Schedules, clipping, early stopping, sampling, cache keys and output folders, on real engines and real files."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Average
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from monai.transforms import Compose, Transform

from pipeline.datalist import Datalist
from pipeline.networks import CBAMResNetPSPNet
from pipeline.training import (
    EarlyStopping,
    GradientClipping,
    claim_folder,
    data_facts,
    place,
    train,
    warmup_schedule,
)
from transforms.errors import CheckpointError, ConfigError, InputError, OutputError

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


def learning_rates(steps: int, **options) -> list[float]:
    """The learning rate of each step of an optimizer that starts from 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = warmup_schedule(optimizer, **options)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


class TestWarmupSchedule:
    def test_the_rate_rises_evenly_from_nearly_nothing_to_the_full_one(self):
        rates = learning_rates(6, total_steps=20, warmup_steps=4)
        assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
        assert rates[5] < 1

    @pytest.mark.parametrize(
        ("decay", "halfway", "end"), [("poly", 0.5**0.9, 0.0), ("cosine", 0.5, 0.0), ("none", 1.0, 1.0)]
    )
    def test_the_decay_runs_from_the_warm_up_to_the_last_step(self, decay, halfway, end):
        rates = learning_rates(30, total_steps=24, warmup_steps=4, decay=decay)
        assert rates[4] == 1
        assert rates[14] == pytest.approx(halfway)
        assert rates[24:] == pytest.approx([end] * 6, abs=1e-12)
        assert all(later <= earlier for earlier, later in itertools.pairwise(rates[4:]))

    def test_the_power_bends_the_polynomial_decay(self):
        assert learning_rates(6, total_steps=10, warmup_steps=0, power=2)[5] == pytest.approx(0.25)

    def test_a_warm_up_longer_than_the_training_is_no_division_by_zero(self):
        assert learning_rates(3, total_steps=2, warmup_steps=2) == pytest.approx([1 / 3, 2 / 3, 1.0])

    def test_an_unknown_decay_is_refused_with_those_there_are(self):
        with pytest.raises(ConfigError, match=r"poly, cosine, none, found 'linear'"):
            learning_rates(1, total_steps=2, warmup_steps=0, decay="linear")


def constant(value: float, epochs: int = 1, **handlers) -> SupervisedTrainer:
    """A trainer of a one-weight network on three items."""
    network = handlers.pop("network", torch.nn.Linear(1, 1, bias=False))
    items = [{"image": torch.full((1,), value), "label": torch.zeros(1)} for _ in range(3)]
    return SupervisedTrainer(
        device=CPU,
        max_epochs=epochs,
        train_data_loader=DataLoader(Dataset(items), batch_size=1, num_workers=0),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=torch.nn.MSELoss(),
        decollate=False,
        **handlers,
    )


@pytest.mark.parametrize(("max_norm", "limited"), [(0.5, True), (1e9, False), (0, False)])
def test_gradient_clipping_limits_the_norm_that_the_optimizer_sees(max_norm, limited):
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    trainer = constant(10.0, network=network, train_handlers=[GradientClipping(network, max_norm=max_norm)])
    norms = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: norms.append(network.weight.grad.norm().item()))
    trainer.run()
    assert norms == pytest.approx([0.5 if limited else 200.0] * 3, rel=1e-3)


def evaluator_scoring(scores: list[float]) -> SupervisedEvaluator:
    """An evaluator whose key metric is the next of ``scores`` on each run; beyond the list, the last of them."""
    remaining = iter(scores)
    return SupervisedEvaluator(
        device=CPU,
        val_data_loader=DataLoader(Dataset([{"image": torch.zeros(1)}]), batch_size=1, num_workers=0),
        network=torch.nn.Identity(),
        key_val_metric={"score": Average(output_transform=lambda _: next(remaining, scores[-1]))},
    )


@pytest.mark.parametrize(
    ("scores", "patience", "interval", "stopped_after"),
    [
        ([0.5, 0.4, 0.3], 2, 1, 3),
        ([0.5, 0.4, 0.6, 0.6, 0.6], 2, 1, 5),  # an equal score is no better one
        ([0.5, 0.4, 0.3], 2, 3, 9),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.91, 0.92, 0.93], 1, 1, 12),
    ],
)
def test_early_stopping_ends_a_training_after_so_many_validations_without_a_rise(
    scores, patience, interval, stopped_after
):
    evaluator = evaluator_scoring(scores)
    trainer = constant(
        1.0,
        epochs=12,
        train_handlers=[
            ValidationHandler(interval=interval, validator=evaluator, epoch_level=True),
            EarlyStopping(evaluator, patience=patience, interval=interval),
        ],
    )
    trainer.run()
    assert trainer.state.epoch == stopped_after


def test_a_patience_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="patience of 1 or more, found 0"):
        EarlyStopping(evaluator_scoring([0.5]), patience=0)


class TestClaimFolder:
    def test_a_new_folder_is_made_and_left_empty(self, tmp_path):
        folder = claim_folder(str(tmp_path / "a" / "b"))
        assert folder == tmp_path / "a" / "b"
        assert list(folder.iterdir()) == []
        assert claim_folder(folder) == folder

    def test_a_folder_with_results_is_refused_unless_they_may_be_replaced(self, tmp_path):
        (tmp_path / "model.pt").touch()
        with pytest.raises(OutputError, match="--overwrite true") as raised:
            claim_folder(tmp_path)
        assert raised.value.path == str(tmp_path)
        assert str(tmp_path) not in str(raised.value)
        assert claim_folder(tmp_path, overwrite=True) == tmp_path
        assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]

    def test_hidden_files_do_not_count(self, tmp_path):
        (tmp_path / ".gitignore").touch()
        assert claim_folder(tmp_path) == tmp_path

    @pytest.mark.parametrize("inside", ["", "models/new"])
    def test_a_place_that_cannot_be_a_folder_is_refused_and_nothing_is_left(self, tmp_path, inside):
        file = tmp_path / "file"
        file.write_text("kept")
        with pytest.raises(OutputError, match="can be written"):
            claim_folder(file / inside, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert file.read_text() == "kept"


class TestPlace:
    def network(self, **options) -> CBAMResNetPSPNet:
        return CBAMResNetPSPNet(depth=18, out_channels=2, **options)

    @pytest.mark.parametrize(("spatial_dims", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
    def test_the_weights_get_the_channels_last_layout_of_their_dimension(self, spatial_dims, layout):
        placed = place(self.network(spatial_dims=spatial_dims), CPU)
        kernels = [p for p in placed.parameters() if p.ndim == spatial_dims + 2]
        assert kernels
        assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)

    def test_the_layout_changes_no_weight(self):
        network = self.network()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        for name, value in place(network, CPU).state_dict().items():
            assert torch.equal(value, before[name]), name

    def test_pretrained_weights_come_from_the_file(self, tmp_path):
        stem = "plain7"
        trained = self.network(stem=stem)
        torch.save(trained.backbone.state_dict(), tmp_path / "resnet18.pt")
        fresh = self.network(stem=stem)
        name = "layer1.0.conv1.weight"
        assert not torch.equal(fresh.backbone.state_dict()[name], trained.backbone.state_dict()[name])
        placed = place(fresh, CPU, channels_last=False, pretrained=str(tmp_path / "resnet18.pt"))
        assert torch.equal(placed.backbone.state_dict()[name], trained.backbone.state_dict()[name])

    def test_an_absent_file_of_weights_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match="no such file"):
            place(self.network(), CPU, pretrained=str(tmp_path / "none.pt"))


def test_the_facts_of_the_data_are_counts_and_a_digest_without_paths_and_names():
    files = {"image": "/secret/frame.png", "label": "/secret/mask.png"}
    items = [{**files, "case": f"c{n}", "group": f"DOE{n % 2}"} for n in range(5)]
    data = Datalist(tuple(items[:3]), tuple(items[3:]), (), ("background", "kidney"), {0: 0, 1: 1}, digest="abc")
    facts = data_facts(data, torch.nn.Linear(3, 2))
    assert facts == {
        "dataset_digest": "abc",
        "training_frames": 3,
        "validation_frames": 2,
        "test_frames": 0,
        "training_groups": 2,
        "validation_groups": 2,
        "test_groups": 0,
        "network_parameters": 8,
    }


class Recorder:
    """Stands where the tracker does: remembers how its block ended."""

    ended: object = "never"

    stored: tuple[str, str] | None = None

    def __enter__(self):
        return self

    def log_file(self, path, folder):
        self.stored = (str(path), folder)

    def __exit__(self, kind, error, traceback):
        self.ended = error


class Failing(Transform):
    """A transform that meets an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, data):
        raise self.error


def failing(error: Exception) -> SupervisedTrainer:
    """A trainer whose data raise ``error``, which MONAI wraps."""
    trainer = constant(1.0)
    trainer.data_loader.dataset.transform = Compose([Failing(error)])
    return trainer


class TestTrain:
    def test_a_training_ends_within_its_tracked_run(self):
        tracker, trainer = Recorder(), constant(1.0, epochs=2)
        train(trainer, tracker, checkpoint="model.pt")
        assert trainer.state.epoch == 2
        assert tracker.stored == ("model.pt", "checkpoints")
        assert tracker.ended is None

    def test_our_error_behind_a_wrapping_comes_out_as_itself_after_the_tracker_saw_it(self):
        ours = InputError("a frame", found="none", remedy="Check.")
        tracker = Recorder()
        with pytest.raises(InputError) as raised:
            train(failing(ours), tracker, checkpoint="model.pt")
        assert raised.value is ours
        assert isinstance(tracker.ended, RuntimeError)

    def test_another_error_stays_what_it_is(self):
        with pytest.raises(RuntimeError, match="applying transform") as raised:
            train(failing(ValueError("of another kind")), Recorder(), checkpoint="model.pt")
        assert isinstance(raised.value.__cause__, ValueError)
