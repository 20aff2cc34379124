"""What cannot work is said at once; every arm is trained and measured once with every seed."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pyraseg.pipeline.cli import main
from pyraseg.pipeline.experiments import run_experiment
from pyraseg.transforms.errors import ConfigError, DatalistError, UsageError
from tests.pipeline.experiments.cross_validation.pretender import read, read_step

NAMES = [
    f"attention={attention},labels={labels}, seed {seed}"
    for seed in (0, 1)
    for attention in ("none", "cbam")
    for labels in ("hard", "soft")
]
ALL = [f"{step} {name}" for name in NAMES for step in ("training", "evaluating")]


@dataclass
class Pretender:
    """Leaves behind what a step would; ``before`` may make one fail or be stopped."""

    before: Callable[[str], int | None] = lambda step: None
    commands: list[dict[str, str]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def __call__(self, command: Sequence[str]) -> int:
        words = list(command[command.index("run") + 1 :])
        ids = read(words[1:])
        self.commands.append(ids)
        self.steps.append(f"{words[0]} {ids['run_name'].removesuffix(', evaluation')}")
        folder = Path(ids["output_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        if words[0] == "training":
            (folder / "last.pt").touch()
        status = self.before(self.steps[-1])
        if not status and words[0] == "evaluating":
            (folder / "summary.json").write_text(
                f'{{"mean_dice": {0.5 + folder.parts[-2].endswith("1") / 10}}}'
            )
        return status or 0


def run(plan, *, resume=False, before=lambda step: None) -> tuple[Pretender, list[str]]:
    pretender = Pretender(before)
    return pretender, list(run_experiment(plan, resume=resume, start=pretender))


class TestRefusals:
    @pytest.mark.parametrize("seeds", ["", "a", "0,,1", "0,0", "-1", "1.5"])
    def test_seeds_that_are_no_numbers_or_twice_there(self, plan, seeds):
        with pytest.raises(UsageError, match="--seeds"):
            plan(seeds=seeds)

    @pytest.mark.parametrize(
        "name", ["seed", "output_dir", "resume", "checkpoint", "config_file", "mlflow_run_id"]
    )
    def test_an_override_of_what_each_step_sets_for_itself(self, plan, name):
        with pytest.raises(ConfigError, match=f"found --{name}"):
            plan(f"--{name}", "1")

    def test_an_override_of_what_an_arm_sets(self, plan):
        with pytest.raises(ConfigError, match="found --attention in attention=none,labels=hard"):
            plan("--attention", "se")

    def test_an_override_that_no_config_defines(self, plan):
        with pytest.raises(ConfigError, match=r"found --dept\. Did you mean --depth"):
            plan("--dept", "18")

    def test_a_datalist_without_a_test_split(self, plan, workspace):
        path = workspace / "data" / "datalist.json"
        content = json.loads(path.read_text())
        del content["test"]
        path.write_text(json.dumps(content))
        with pytest.raises(DatalistError, match="test"):
            plan()

    def test_data_drawn_for_each_seed_with_other_test_cases(self, plan, workspace):
        content = json.loads((workspace / "data" / "datalist.json").read_text())
        for seed in (0, 1):
            content["test"][0]["case"] = f"c{seed}"
            (workspace / "data" / f"few_{seed}.json").write_text(json.dumps(content))
        with pytest.raises(DatalistError, match="found others for seed 1 than for seed 0"):
            plan(datalist=workspace / "data" / "few_{seed}.json")


class TestCommands:
    def test_a_training_has_its_overlays_its_seed_and_a_name_that_ends_with_it(self, plan, workspace):
        made = plan("--depth", "18")
        ids = read_step(made, "attention=cbam,labels=soft, seed 1, training")
        assert ids["step"] == "training"
        configs = workspace / "bundle" / "configs"
        assert ids["config_file"] == str([str(configs / "train.yaml"), str(configs / "soft_labels.yaml")])
        options = (ids["depth"], ids["attention"], ids["soft_beta"], ids["seed"])
        assert options == ("18", "cbam", "0.5", "1")
        assert ids["run_name"] == "attention=cbam,labels=soft, seed 1"

    def test_an_evaluation_is_of_the_test_split_and_has_no_option_of_an_overlay(self, plan, workspace):
        made = plan("--surfaces", "false", "--soft_loss", "svls")
        ids = read_step(made, "attention=cbam,labels=soft, seed 1, evaluation")
        assert ids["config_file"] == str([str(workspace / "bundle" / "configs" / "evaluate.yaml")])
        assert (ids["step"], ids["split"], ids["surfaces"]) == ("evaluating", "test", "false")
        assert not {"soft_loss", "soft_beta", "seed"} & set(ids)
        assert ids["checkpoint"] == str(workspace / "out" / made.arms[3].name / "seed_1" / "model.pt")

    def test_a_setting_goes_to_the_steps_whose_configs_know_it(self, plan):
        """The network's options are in the checkpoint, so an evaluation does not know them."""
        made = plan(grid="a: {x: {attention: se, surfaces: false}}")
        training, evaluation = (read_step(made, f"seed 0, {step}") for step in ("training", "evaluation"))
        assert (training["attention"], "surfaces" in training) == ("se", False)
        assert (evaluation["surfaces"], "attention" in evaluation) == ("False", False)

    def test_a_training_has_no_option_of_the_evaluation_nor_of_another_arm_s_overlay(self, plan):
        made = plan("--surfaces", "false", "--soft_loss", "svls")
        hard, soft = (read_step(made, f"{arm.name}, seed 0, training") for arm in made.arms[:2])
        assert "surfaces" not in hard
        assert "soft_loss" not in hard
        assert soft["soft_loss"] == "svls"

    def test_the_data_may_be_drawn_anew_for_each_seed(self, plan, workspace):
        content = json.loads((workspace / "data" / "datalist.json").read_text())
        for seed in (0, 1):
            image = f"{seed}.png"
            (workspace / "data" / image).touch()
            content["training"].append({**content["training"][0], "case": f"c{seed}", "image": image})
            (workspace / "data" / f"few_{seed}.json").write_text(json.dumps(content))
        made = plan(datalist=workspace / "data" / "few_{seed}.json")
        ids = read_step(made, f"{made.arms[0].name}, seed 1, training")
        assert ids["datalist"] == str(workspace / "data" / "few_1.json")
        assert made.digests[0] != made.digests[1]


class TestOneRun:
    def test_every_arm_is_trained_and_measured_with_every_seed(self, plan):
        assert run(plan())[0].steps == ALL

    def test_the_table_has_a_row_a_run_and_the_lines_a_mean_an_arm(self, plan):
        _, lines = run(plan())
        with open(plan().output / "ablation.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [f"{row['arm']}, seed {row['seed']}" for row in rows] == NAMES
        assert {(row["seed"], row["mean_dice"]) for row in rows} == {("0", "0.5"), ("1", "0.6")}
        assert sum("0.550 ± 0.071 over the seeds" in line for line in lines) == 4

    def test_one_arm_without_a_score_is_said_to_have_none(self, plan):
        made = plan(seeds="0")
        run(made)
        (made.trial(made.arms[0], 0).evaluation / "summary.json").write_text('{"mean_dice": null}')
        assert any(line.split()[-1] == "none" for line in run(made, resume=True)[1])

    def test_untracked_runs_are_not_to_be_compared(self, plan):
        assert not any("compare" in line for line in run(plan())[1])


class TestInterruption:
    def test_seeds_and_arms_may_be_added_later(self, plan, workspace):
        run(plan(seeds="0"))
        assert run(plan(), resume=True)[0].steps == ALL[8:]
        grid = (workspace / "grid.yaml").read_text().replace("  none:", "  se: {attention: se}\n  none:")
        added = run(plan(grid=grid), resume=True)[0].steps
        assert {step.split("attention=")[1].split(",")[0] for step in added} == {"se"}


class TestFolders:
    def test_an_arm_with_another_content_does_not_go_on(self, plan, workspace):
        run(plan())
        overlay = workspace / "bundle" / "configs" / "soft_labels.yaml"
        overlay.write_text(overlay.read_text().replace("superpixel", "svls"))
        with pytest.raises(
            ConfigError, match="others: attention=cbam,labels=soft, attention=none,labels=soft"
        ):
            run(plan(), resume=True)

    def test_a_bundle_with_other_configs_does_not_go_on_and_one_with_another_comment_does(
        self, plan, workspace
    ):
        """Else half of the arms would be trained with one batch size and half with another."""
        run(plan(seeds="0"))
        train = workspace / "bundle" / "configs" / "train.yaml"
        train.write_text("# what to train\n" + train.read_text())
        assert len(run(plan(), resume=True)[0].steps) == 8
        train.write_text(train.read_text().replace("depth: 50", "depth: 18"))
        with pytest.raises(ConfigError, match=r"found others: the bundle's train\.yaml"):
            run(plan(), resume=True)

    def test_the_state_holds_no_setting_s_value(self, plan):
        run(plan(grid="a: {x: {class_weights: /home/jane/weights}}"))
        assert "jane" not in (plan().output / "ablation.json").read_text()


class TestTracking:
    def test_one_parent_run_is_over_all_steps_and_goes_on_after_an_interruption(self, plan, workspace):
        def interrupt(step):
            if step == ALL[2]:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(plan("--aux", "false"), before=interrupt)
        pretender, lines = run(plan("--aux", "false"), resume=True)
        client = MlflowClient(f"sqlite:///{workspace / 'bundle' / 'mlruns.db'}")
        (parent,) = client.search_runs([client.get_experiment_by_name("grids").experiment_id])
        assert (parent.info.run_name, parent.info.status) == ("ablation", "FINISHED")
        assert {ids["parent_run_id"] for ids in pretender.commands} == {parent.info.run_id}
        assert "ablation.csv" in {entry.path for entry in client.list_artifacts(parent.info.run_id)}
        words = shlex.split(lines[-1])
        assert words[:2] == ["pyraseg", "compare"]
        assert words[words.index("--experiment") + 1] == "grids"
        assert words[words.index("--runs") + 1 :] == NAMES

    def test_the_last_line_repeats_no_password(self, plan, monkeypatch):
        class Silent:
            run_id = None

            def __init__(self, uri, *, experiment_name, enabled, **_):
                self.tracking_uri, self.experiment_name, self.enabled = uri, experiment_name, enabled

            def __enter__(self):
                return self

            def __exit__(self, *_): ...
            def log_file(self, path): ...

        monkeypatch.setattr("pyraseg.pipeline.experiments.running.RunTracker", Silent)
        lines = run(plan("--tracking_uri", "http://jane:secret@mlflow.example:5000"))[1]
        assert "--tracking_uri http://mlflow.example:5000" in lines[-1]
        assert not any("secret" in line for line in lines)


def test_wrong_usage_ends_with_2_before_anything_is_made(workspace, capsys):
    places = {name: str(workspace / name) for name in ("bundle", "data", "out", "grid.yaml")}
    words = ["ablation", "--bundle", places["bundle"], "--grid", places["grid.yaml"], "--seeds", "x"]
    words += ["--dataset_dir", places["data"], "--output", places["out"], "--", "--depth", "18"]
    assert main(words) == 2
    assert "--seeds" in capsys.readouterr().err
    assert not (workspace / "out").exists()
