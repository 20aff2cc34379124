"""A training that was stopped and goes on ends as one that never stopped: bit by bit, whatever stopped it."""

from __future__ import annotations

import os
import random
import signal
import threading

import numpy as np
import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Average
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler

from pyraseg.pipeline.networks.checkpoint import facts_of
from pyraseg.pipeline.training import EarlyStopping, Interruption, WarmupSchedule, WeightAverage, train
from pyraseg.pipeline.training.checkpoints import (
    BEST,
    LAST,
    Checkpoints,
    random_state,
    set_random_state,
    stored_run_id,
)
from pyraseg.pipeline.training.sampling import GroupSampler
from pyraseg.pipeline.utils.signals import STOPPING
from pyraseg.transforms.errors import CheckpointError
from tests.pipeline.training.engines import CPU

SCORES = [0.3, 0.5, 0.4, 0.2, 0.1]
FACTS = {"label_names": ["background", "kidney"], "dataset_digest": "abc"}


class Run:
    """Stands where the MLflow tracker does."""

    run_id = "run-1"
    flushed = 0
    opened = False

    def finished(self):
        return True

    def __enter__(self):
        self.opened = True
        return self

    def __exit__(self, kind, error, traceback):
        self.ended = kind

    def flush(self):
        self.flushed += 1

    def log_checkpoint(self, path):
        self.checkpoint = path

    def log_trained(self, sha256, *, epoch):
        self.epoch = epoch


class Killed(BaseException):
    """What no handler sees coming."""


class Training:
    """A network with dropout and momentum that learns ten noisy numbers in batches of two, validated every
    epoch."""

    def __init__(
        self,
        folder,
        *,
        epochs: int = 4,
        patience: int = 9,
        facts=FACTS,
        batch_size: int = 2,
        rate: float = 0.01,
        accumulation_steps: int = 1,
    ) -> None:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        self.network = torch.nn.Sequential(
            torch.nn.Linear(1, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
        )
        items = [{"image": torch.randn(1), "label": torch.randn(1), "group": f"g{n % 3}"} for n in range(10)]
        optimizer = torch.optim.SGD(self.network.parameters(), lr=rate, momentum=0.9)
        schedule = WarmupSchedule(optimizer, total_steps=20, warmup_steps=3)
        self.average = WeightAverage(self.network, decay=0.8)
        self.checkpoints = Checkpoints(
            folder,
            network=self.average.network,
            learning=self.network,
            state={"optimizer": optimizer, "lr_scheduler": schedule, "ema": self.average},
            facts=facts,
            settings={"learning_rate": rate},
        )
        self.interruption = Interruption(self.checkpoints)
        self.evaluator = SupervisedEvaluator(
            device=CPU,
            val_data_loader=DataLoader(Dataset(items), batch_size=5, generator=torch.Generator()),
            network=self.average.network,
            key_val_metric={
                "score": Average(output_transform=lambda _: SCORES[self.trainer.state.epoch - 1])
            },
            val_handlers=[self.checkpoints, self.interruption],
        )
        self.losses: dict[int, float] = {}
        self.stopping = EarlyStopping(self.evaluator, patience=patience, checkpoints=self.checkpoints)
        self.trainer = SupervisedTrainer(
            device=CPU,
            max_epochs=epochs,
            train_data_loader=DataLoader(
                Dataset(items),
                batch_size=batch_size,
                sampler=GroupSampler([item["group"] for item in items], frames_per_group=None, seed=5),
                generator=torch.Generator(),
            ),
            network=self.network,
            optimizer=optimizer,
            loss_function=torch.nn.MSELoss(),
            accumulation_steps=accumulation_steps,
            decollate=False,
        )
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._step, schedule)
        for handler in (self.average, ValidationHandler(1, self.evaluator, epoch_level=True), self.stopping):
            handler.attach(self.trainer)
        self.checkpoints.attach(self.trainer)
        self.interruption.attach(self.trainer)

    def _step(self, engine, schedule) -> None:
        self.losses[engine.state.iteration] = engine.state.output["loss"].item()
        schedule.step()

    def raise_at(self, step: int, act) -> Training:
        """Call ``act`` after ``step`` has changed the weights and before anything is saved."""
        self.trainer.add_event_handler(Events.ITERATION_STARTED(once=step), act)
        return self

    def run(self, **options) -> Run:
        run = Run()
        try:
            train(self.trainer, run, checkpoints=self.checkpoints, interruption=self.interruption, **options)
        except (KeyboardInterrupt, Killed, ValueError) as error:
            run.stopped_by = type(error)
        return run

    def weights(self) -> list[torch.Tensor]:
        return [*self.network.parameters(), *self.average.network.parameters()]


def kill() -> None:
    raise Killed


def fail() -> None:
    raise ValueError("of a batch")


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def warn() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)  # as Slurm does, minutes before the time limit


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Training:
    """The training that nothing interrupts."""
    training = Training(tmp_path_factory.mktemp("whole"))
    training.run()
    return training


@pytest.mark.parametrize(
    ("act", "step"), [*((kill, step) for step in (1, 7, 10, 13)), (ctrl_c, 7), (terminate, 10), (warn, 13)]
)
def test_the_weights_the_average_and_every_later_loss_are_those_of_an_unbroken_training(
    tmp_path, whole, act, step
):
    first = Training(tmp_path).raise_at(step, act)
    stopped_by = first.run().stopped_by
    assert stopped_by is (Killed if act is kill else KeyboardInterrupt)
    second = Training(tmp_path)
    second.run(resume=True)
    assert all(torch.equal(a, b) for a, b in zip(second.weights(), whole.weights(), strict=True))
    assert second.losses.items() <= whole.losses.items()
    assert first.losses | second.losses == whole.losses
    best, unbroken = (torch.load(t.checkpoints.folder / BEST, weights_only=True) for t in (second, whole))
    assert facts_of(best)["epoch"] == facts_of(unbroken)["epoch"] == 2
    assert all(torch.equal(best[name], value) for name, value in unbroken.items())


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_training_stopped_in_its_validation_goes_on_with_that_validation(tmp_path, whole, epoch):
    first = Training(tmp_path)
    first.evaluator.add_event_handler(
        Events.ITERATION_STARTED(event_filter=lambda engine, _: engine.state.epoch == epoch), ctrl_c
    )
    first.run()
    assert first.trainer.state.epoch == epoch
    second = Training(tmp_path)
    second.run(resume=True)
    assert second.stopping.state_dict() == whole.stopping.state_dict()
    assert all(torch.equal(a, b) for a, b in zip(second.weights(), whole.weights(), strict=True))
    assert second.evaluator.state.best_metric_epoch == 2
    assert min(second.losses, default=99) > max(first.losses)


def test_ctrl_c_stops_after_the_step_that_it_met_and_not_within_it(tmp_path):
    training = Training(tmp_path).raise_at(7, ctrl_c)
    training.run()
    assert max(training.losses) == 7
    assert torch.load(tmp_path / LAST, weights_only=True)["iteration"] == 7


@pytest.mark.parametrize(
    ("step", "stopped_after"), [(6, 7), (7, 7), (10, 10)]
)  # epochs of 5, the last step alone
def test_ctrl_c_waits_for_the_step_that_takes_the_accumulated_gradients(tmp_path, step, stopped_after):
    whole = Training(tmp_path / "whole", accumulation_steps=2)
    whole.run()
    first = Training(tmp_path / "stopped", accumulation_steps=2).raise_at(step, ctrl_c)
    first.run()
    assert max(first.losses) == stopped_after
    second = Training(tmp_path / "stopped", accumulation_steps=2)
    second.run(resume=True)
    assert all(torch.equal(a, b) for a, b in zip(second.weights(), whole.weights(), strict=True))


@pytest.mark.parametrize("end", ["kill", "fail"])
def test_another_training_s_files_are_there_until_a_step_can_replace_them(tmp_path, end):
    Training(tmp_path, epochs=2).run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    act = kill if end == "kill" else fail
    Training(tmp_path, epochs=2).raise_at(1, act).run()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    Training(tmp_path, epochs=2).raise_at(2, act).run()
    assert [path.name for path in tmp_path.iterdir()] == [LAST]  # no other's best network beside this state
    assert torch.load(tmp_path / LAST, weights_only=True)["iteration"] == 1


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    training = Training(tmp_path).raise_at(7, lambda: (ctrl_c(), ctrl_c()))
    assert training.run().stopped_by is KeyboardInterrupt
    assert max(training.losses) == 6
    assert torch.load(tmp_path / LAST, weights_only=True)["iteration"] == 5


def test_the_signals_are_python_s_own_again_afterwards(tmp_path):
    before = list(map(signal.getsignal, STOPPING))
    Training(tmp_path, epochs=1).run()
    assert list(map(signal.getsignal, STOPPING)) == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_process_that_loads_data_leaves_ctrl_c_to_its_owner_and_ends_when_told(tmp_path, number, status):
    interruption = Training(tmp_path).interruption
    with interruption.watching():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), number)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status
    assert not interruption.requested


def test_early_stopping_counts_on(tmp_path):
    first = Training(tmp_path, epochs=5, patience=2).raise_at(16, kill)
    first.run()
    second = Training(tmp_path, epochs=5, patience=2)
    second.run(resume=True)
    assert second.trainer.state.epoch == 4  # the best is the second epoch's


@pytest.mark.parametrize(("epochs", "patience"), [(2, 9), (5, 2)])
def test_a_training_that_is_complete_is_left_as_it_is(tmp_path, epochs, patience):
    Training(tmp_path, epochs=epochs, patience=patience).run()
    before = (tmp_path / LAST).read_bytes()
    again = Training(tmp_path, epochs=epochs, patience=patience)
    again.run(resume=True)
    assert again.losses == {}
    assert (tmp_path / LAST).read_bytes() == before


def test_more_epochs_can_be_asked_for(tmp_path):
    Training(tmp_path, epochs=2).run()
    more = Training(tmp_path, epochs=3)
    more.run(resume=True)
    assert sorted(more.losses) == [11, 12, 13, 14, 15]


def test_without_a_last_checkpoint_a_resumed_training_starts(tmp_path, whole):
    training = Training(tmp_path)
    training.run(resume=True)
    assert training.losses == whole.losses


def test_an_error_before_anything_was_learned_leaves_the_folder_free_for_another_try(tmp_path):
    assert Training(tmp_path).raise_at(1, fail).run().stopped_by is ValueError
    assert list(tmp_path.iterdir()) == []
    assert Training(tmp_path).raise_at(8, fail).run().stopped_by is ValueError
    assert (tmp_path / LAST).is_file()


def test_the_mlflow_run_is_in_the_checkpoint_from_the_first_moment(tmp_path):
    assert stored_run_id(tmp_path) is None
    Training(tmp_path).raise_at(1, kill).run()
    assert stored_run_id(tmp_path) == "run-1"


def test_what_is_logged_is_sent_before_each_checkpoint_is_written(tmp_path):
    run = Training(tmp_path, epochs=3).run()
    assert run.flushed == 4  # the start, and three epochs


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"facts": FACTS | {"dataset_digest": "other"}}, "dataset_digest"),
        ({"facts": FACTS | {"label_names": ["background"]}}, "label_names"),
        ({"batch_size": 5}, "steps per epoch"),
        ({"rate": 0.02}, "learning_rate"),
    ],
)
def test_another_data_set_label_set_batch_size_or_rate_is_refused_by_its_name(tmp_path, options, named):
    Training(tmp_path, epochs=1).run()
    other = Training(tmp_path, epochs=2, **options)
    with pytest.raises(CheckpointError, match=f"of the same training, {named} .* found one with {named} "):
        other.run(resume=True)


@pytest.mark.parametrize("options", [{"rate": 0.02}, {"epochs": 1}, {"facts": FACTS | {"label_names": []}}])
def test_a_refusal_opens_no_run_and_leaves_every_file(tmp_path, options):
    Training(tmp_path, epochs=2).run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other, run = Training(tmp_path, **options), Run()
    with pytest.raises(CheckpointError):
        train(other.trainer, run, checkpoints=other.checkpoints, interruption=other.interruption, resume=True)
    assert not run.opened
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("finished", "opened"), [(True, False), (False, True)])
def test_a_complete_training_opens_its_run_only_where_that_has_not_ended_well(tmp_path, finished, opened):
    Training(tmp_path, epochs=1).run()
    again, run = Training(tmp_path, epochs=1), Run()
    run.finished = lambda: finished
    train(again.trainer, run, checkpoints=again.checkpoints, interruption=again.interruption, resume=True)
    assert run.opened is opened


def test_a_training_in_another_thread_runs_without_signals(tmp_path):
    training = Training(tmp_path, epochs=1)
    thread = threading.Thread(target=training.run)
    thread.start()
    thread.join()
    assert (tmp_path / BEST).is_file()


def test_every_generator_repeats_what_it_gave_after_the_state_was_taken():
    def draw():
        return random.gauss(0, 1), np.random.standard_normal(), torch.rand(1).item()  # noqa: NPY002

    draw()
    state = random_state()
    drawn = [draw() for _ in range(3)]
    set_random_state(state)
    assert [draw() for _ in range(3)] == drawn
