"""Schedules, clipping, early stopping, sampling, cache keys and output folders, on real engines and real files."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Average
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from monai.transforms import Compose, RandFlipd, Transform
from PIL import Image

from pipeline.datalist import Datalist
from pipeline.networks import CBAMResNetPSPNet
from pipeline.training import (
    CachedDataset,
    EarlyStopping,
    GradientClipping,
    GroupSampler,
    claim_folder,
    data_facts,
    group_sampler,
    hash_files,
    place,
    train,
    warmup_schedule,
)
from transforms.errors import CheckpointError, ConfigError, InputError, OutputError
from transforms.preprocessing import ultrasound_preprocessing

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


class TestGroupSampler:
    GROUPS = ("a",) * 10 + ("b",) * 3 + ("c",) + ("a",) * 4

    def drawn(self, **options) -> list[list[int]]:
        sampler = GroupSampler(self.GROUPS, **options)
        return [list(sampler) for _ in range(5)]

    @pytest.mark.parametrize(("limit", "length"), [(1, 3), (3, 7), (5, 9), (14, 18), (99, 18), (None, 18)])
    def test_an_epoch_holds_at_most_so_many_of_each_group_and_its_length_says_how_many(self, limit, length):
        assert len(GroupSampler(self.GROUPS, frames_per_group=limit)) == length
        for epoch in self.drawn(frames_per_group=limit):
            assert len(epoch) == len(set(epoch)) == length
            counts = {group: sum(self.GROUPS[i] == group for i in epoch) for group in "abc"}
            assert counts == {g: min(self.GROUPS.count(g), limit or 99) for g in "abc"}

    def test_every_frame_is_drawn_before_one_of_its_group_comes_again(self):
        epochs = self.drawn(frames_per_group=3)  # 14 frames of the largest group: five epochs
        assert {i for epoch in epochs for i in epoch} == set(range(len(self.GROUPS)))
        first_four = [i for epoch in epochs[:4] for i in epoch if self.GROUPS[i] == "a"]
        assert len(set(first_four)) == 12

    def test_the_order_is_random_and_the_seed_s_own(self):
        epochs = self.drawn(frames_per_group=None, seed=1)
        assert epochs == self.drawn(frames_per_group=None, seed=1)
        assert epochs != self.drawn(frames_per_group=None, seed=2)
        assert epochs[0] != epochs[1]
        assert epochs[0] != sorted(epochs[0])

    def test_a_data_loader_takes_it(self):
        items = [{"group": group, "number": n} for n, group in enumerate(self.GROUPS)]
        sampler = group_sampler(items, frames_per_group=2, seed=4)
        loader = DataLoader(Dataset(items), batch_size=2, sampler=sampler, num_workers=0)
        assert len(loader) == 3
        assert sum(len(batch["number"]) for batch in loader) == 5

    @pytest.mark.parametrize("limit", [0, -1])
    def test_no_frame_at_all_is_refused(self, limit):
        with pytest.raises(ConfigError, match="frames_per_group above 0"):
            GroupSampler(["a"], frames_per_group=limit)


def write_frame(folder: Path, name: str = "frame", *, fluid: int = 10) -> dict[str, str]:
    """A speckled rectangle on black, 60 x 80 pixels, and its mask: an item of a datalist."""
    frame = np.zeros((60, 80), np.uint8)
    frame[8:52, 10:70] = np.random.default_rng(7).integers(60, 200, (44, 60))
    mask = np.zeros((60, 80), np.uint8)
    mask[20 : 20 + fluid, 30:50] = 1
    paths = {key: folder / f"{name}_{key}.png" for key in ("image", "label")}
    Image.fromarray(frame).save(paths["image"])
    Image.fromarray(mask).save(paths["label"])
    return {**{key: str(path) for key, path in paths.items()}, "case": f"c_{name}", "group": "g"}


@pytest.fixture
def item(tmp_path) -> dict[str, str]:
    return write_frame(tmp_path)


class TestHashFiles:
    def test_the_order_of_the_entries_says_nothing(self, item):
        assert hash_files(dict(reversed(item.items()))) == hash_files(item)

    @pytest.mark.parametrize("key", ["image", "label"])
    def test_a_touched_file_is_another_key(self, item, key):
        before = hash_files(item)
        os.utime(item[key], ns=(0, Path(item[key]).stat().st_mtime_ns + 1000))
        assert hash_files(item) != before

    @pytest.mark.parametrize("key", ["image", "label"])
    def test_a_file_of_another_size_is_another_key_though_its_time_is_kept(self, item, key):
        before, time = hash_files(item), Path(item[key]).stat().st_mtime_ns
        with open(item[key], "ab") as file:
            file.write(b" ")
        os.utime(item[key], ns=(time, time))
        assert hash_files(item) != before

    @pytest.mark.parametrize("change", [{"group": "h"}, {"case": "d"}, {"class": "normal"}])
    def test_another_content_of_the_item_is_another_key(self, item, change):
        assert hash_files(item | change) != hash_files(item)

    def test_a_frame_of_a_cine_is_stamped_by_its_file(self, item):
        frames = [item | {"image": f"{item['image']}#frame_index={n}"} for n in (0, 1)]
        keys = {hash_files(frame) for frame in frames}
        assert len(keys) == 2
        os.utime(item["image"], ns=(0, 1))
        assert keys.isdisjoint(hash_files(frame) for frame in frames)

    def test_a_file_that_is_gone_is_said_without_its_path(self, item):
        Path(item["label"]).unlink()
        with pytest.raises(InputError) as raised:
            hash_files(item)
        assert raised.value.path == item["label"]
        assert item["label"] not in str(raised.value)


class TestCachedDataset:
    """The first pass fills the cache, the second reads it; whatever changes the result is noticed."""

    def dataset(self, items, folder, **options):
        transform = ultrasound_preprocessing(size=(32, 40), label="source", num_classes=2, **options)
        return CachedDataset(items, transform, folder / "cache", track_meta=True)

    @pytest.fixture
    def items(self, tmp_path):
        return [write_frame(tmp_path, name) for name in ("one", "two")]

    @pytest.fixture
    def filled(self, items, tmp_path):
        """What the first pass gave, before which there was no cache."""
        return list(self.dataset(items, tmp_path))

    def cached(self, folder) -> set[str]:
        return {path.name for path in (folder / "cache").iterdir()}

    def test_a_second_dataset_reads_what_the_first_one_stored(self, items, filled, tmp_path):
        files = self.cached(tmp_path)
        assert len(files) == 2
        stored = sorted((tmp_path / "cache").iterdir())[0]
        content = torch.load(stored, weights_only=False)
        content["image"] += 5  # seen below: the file itself is read, nothing computed anew
        torch.save(content, stored)
        again = list(self.dataset(items, tmp_path))
        moved = [float((b["image"] - a["image"]).mean()) for a, b in zip(filled, again, strict=True)]
        assert sorted(moved) == pytest.approx([0, 5], abs=1e-5)
        assert self.cached(tmp_path) == files

    def test_an_item_from_the_cache_has_values_metadata_and_trace_of_the_fresh_one(self, items, filled, tmp_path):
        again = self.dataset(items, tmp_path)
        for fresh, cached in zip(filled, again, strict=True):
            assert torch.equal(fresh["image"], cached["image"])
            assert torch.equal(fresh["label"], cached["label"])
            assert cached["image"].meta["case"] == fresh["case"]
            assert len(cached["image"].applied_operations) == len(fresh["image"].applied_operations) > 0

    def test_another_process_finds_the_same_cache(self, items, filled, tmp_path):
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
        code = (
            "from pipeline.training import CachedDataset\n"
            "from transforms.preprocessing import ultrasound_preprocessing\n"
            "transform = ultrasound_preprocessing(size=(32, 40), label='source', num_classes=2)\n"
            f"print(len(list(CachedDataset({items!r}, transform, {str(tmp_path / 'cache')!r}, track_meta=True))))"
        )
        environment = os.environ | {"PYTHONHASHSEED": "17"}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
        assert done.stdout.strip() == b"2"
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == before

    def test_what_comes_before_the_random_transforms_is_stored_however_deep_it_is_nested(self, items, tmp_path):
        fixed = ultrasound_preprocessing(size=(32, 40), label="network", num_classes=2)
        both = Compose([fixed, Compose([RandFlipd("image", prob=0.5)])])
        assert len(list(CachedDataset(items, both, tmp_path / "cache"))) == 2
        for stored in (tmp_path / "cache").iterdir():
            assert torch.load(stored, weights_only=False)["image"].shape == (3, 32, 40)

    def test_a_corrected_mask_is_read_anew_and_the_other_item_is_not(self, items, filled, tmp_path):
        files = self.cached(tmp_path)
        items[0] = write_frame(tmp_path, "one", fluid=20)
        again = list(self.dataset(items, tmp_path))
        assert int(filled[0]["label"].sum()) == 10 * 20
        assert int(again[0]["label"].sum()) == 20 * 20
        assert len(self.cached(tmp_path) - files) == 1

    @pytest.mark.parametrize("options", [{"crop": False}, {"blank": False}, {"in_channels": 1}])
    def test_a_changed_parameter_of_a_transform_is_noticed(self, items, filled, tmp_path, options):
        files = self.cached(tmp_path)
        again = list(self.dataset(items, tmp_path, **options))
        assert len(self.cached(tmp_path) - files) == 2
        wanted = ultrasound_preprocessing(size=(32, 40), label="source", num_classes=2, **options)
        assert torch.equal(again[0]["image"], wanted(dict(items[0]))["image"])

    def test_a_damaged_cache_file_is_computed_anew(self, items, filled, tmp_path):
        for file in (tmp_path / "cache").iterdir():
            file.write_bytes(b"not a checkpoint")
        with pytest.warns(UserWarning, match="Corrupt cache file"):
            again = list(self.dataset(items, tmp_path))
        assert torch.equal(again[0]["image"], filled[0]["image"])


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

    def __enter__(self):
        return self

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
        train(trainer, tracker)
        assert trainer.state.epoch == 2
        assert tracker.ended is None

    def test_our_error_behind_a_wrapping_comes_out_as_itself_after_the_tracker_saw_it(self):
        ours = InputError("a frame", found="none", remedy="Check.")
        tracker = Recorder()
        with pytest.raises(InputError) as raised:
            train(failing(ours), tracker)
        assert raised.value is ours
        assert isinstance(tracker.ended, RuntimeError)

    def test_another_error_stays_what_it_is(self):
        with pytest.raises(RuntimeError, match="applying transform") as raised:
            train(failing(ValueError("of another kind")), Recorder())
        assert isinstance(raised.value.__cause__, ValueError)
