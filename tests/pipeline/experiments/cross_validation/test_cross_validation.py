"""What cannot work is said at once; every fold is trained and measured once, whatever interrupts the command,
and all is said in one summary."""

from __future__ import annotations

import csv
import json

import pytest
from mlflow import MlflowClient

from pyraseg.pipeline.bundle.overrides import override_pairs
from pyraseg.pipeline.experiments import run_experiment
from pyraseg.transforms.errors import ConfigError, DatalistError, OutputError, RunError, UsageError
from tests.pipeline.experiments.cross_validation.pretender import FOLDS, Pretender, read_step

ALL = [f"{step} {fold}" for fold in FOLDS for step in ("training", "evaluating")] + ["evaluating test"]


def run(plan, *, resume=False, before=lambda ids: None) -> tuple[Pretender, list[str]]:
    pretender = Pretender(plan, before=before)
    return pretender, list(run_experiment(plan, resume=resume, start=pretender))


def stop_at(step: str, fold: str, *, how=KeyboardInterrupt):
    def before(ids):
        if (ids["step"], ids.get("fold")) == (step, fold):
            if isinstance(how, int):
                return how
            raise how
        return None

    return before


class TestPlan:
    def test_the_folds_and_their_cases_are_the_datalist_s(self, plan):
        assert {fold: sorted(cases) for fold, cases in plan().cases.items()} == FOLDS
        assert plan().folds == (0, 1, 2)
        assert plan().has_test

    def test_a_datalist_without_folds_is_refused(self, plan, workspace):
        path = workspace / "data" / "datalist.json"
        content = json.loads(path.read_text())
        for item in content["training"]:
            del item["fold"]
        path.write_text(json.dumps(content))
        with pytest.raises(DatalistError, match="datalist --folds 5"):
            plan()

    def test_a_fold_that_is_not_there_is_refused(self, plan):
        with pytest.raises(ConfigError, match="folds among 0, 1, 2, found 1, 7"):
            plan(folds=[7, 1])

    def test_an_overlay_that_is_not_there_is_refused(self, plan):
        with pytest.raises(ConfigError, match="an overlay among evaluate, train, found 'unte'"):
            plan(overlays=["unte"])

    def test_a_folder_that_is_no_bundle_is_refused(self, plan, workspace):
        (workspace / "bundle" / "configs" / "evaluate.yaml").unlink()
        with pytest.raises(ConfigError, match="--bundle"):
            plan()


class TestCommands:
    def test_a_training_is_monai_s_own_command_with_the_user_s_overrides(self, plan, workspace):
        ids = read_step(plan("--depth", "18", "--run_name", "mine"), "fold 1, training")
        assert ids["step"] == "training"
        assert ids["depth"] == "18"
        assert ids["fold"] == "1"
        assert ids["run_name"] == "mine fold 1"
        assert ids["output_dir"] == str(workspace / "out" / "fold_1")

    def test_a_name_with_a_comma_stays_a_name_and_an_id_of_digits_an_id(self, plan, monkeypatch):
        """MONAI's command line reads `a, b` as a tuple and `1e5` as a number."""

        class Silent:
            run_id = "1e5"

            def __init__(self, *_, **__): ...
            def __enter__(self):
                return self

            def __exit__(self, *_): ...
            def log_file(self, path): ...
            def log_metrics(self, numbers, *, step): ...

        monkeypatch.setattr("pyraseg.pipeline.experiments.running.RunTracker", Silent)
        pretender, _ = run(plan())
        assert pretender.commands[-1]["run_name"] == "ensemble, test"
        assert {ids["parent_run_id"] for ids in pretender.commands} == {"1e5"}

    def test_an_overlay_is_the_training_s(self, plan, workspace):
        (workspace / "bundle" / "configs" / "unet.yaml").write_text("depth: 3\n")
        files = [str(workspace / "bundle" / "configs" / f"{name}.yaml") for name in ("train", "unet")]
        made = plan(overlays=["unet"])
        assert read_step(made, "fold 1, training")["config_file"] == str(files)
        assert "unet" not in read_step(made, "fold 1, evaluation")["config_file"]

    def test_a_fold_is_measured_on_its_own_validation_cases_with_its_own_network(self, plan, workspace):
        pretender, _ = run(plan())
        ids = next(ids for ids in pretender.commands if (ids["step"], ids.get("fold")) == ("evaluating", "2"))
        assert (ids["fold"], ids["split"]) == ("2", "validation")
        assert ids["checkpoint"] == str(workspace / "out" / "fold_2" / "model.pt")
        assert "parent_run_id" not in ids


class TestOverrides:
    def test_both_forms_are_read(self):
        assert override_pairs(["--depth", "18", "--a::b=[1, 2]", "--x", "-1"]) == {
            "depth": "18",
            "a::b": "[1, 2]",
            "x": "-1",
        }

    @pytest.mark.parametrize("words", [["depth", "18"], ["--aux"], ["--depth", "18", "19"]], ids=str)
    def test_words_that_are_no_pairs_are_refused(self, plan, words):
        with pytest.raises(UsageError, match="overrides in pairs"):
            plan(*words)

    @pytest.mark.parametrize("name", ["fold", "output_dir", "resume", "checkpoint", "config_file"])
    def test_what_each_step_sets_for_itself_is_refused(self, plan, name):
        with pytest.raises(ConfigError, match=f"found --{name}"):
            plan(f"--{name}", "1")


class TestOneRun:
    def test_each_fold_is_trained_and_measured_then_the_ensemble_of_all(self, plan):
        pretender, _ = run(plan())
        assert pretender.steps == ALL

    def test_every_case_is_in_the_table_once_with_its_fold(self, plan):
        run(plan())
        with open(plan().output / "cases.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert sorted((int(row["fold"]), row["case"]) for row in rows) == sorted(
            (fold, case) for fold, cases in FOLDS.items() for case in cases
        )

    def test_the_summary_has_the_folds_the_pool_and_the_test(self, plan):
        _, lines = run(plan())
        summary = json.loads((plan().output / "summary.json").read_text())
        assert summary["folds"] == [0, 1, 2]
        assert summary["over_folds"]["mean_dice"]["values"] == pytest.approx([0.5, 0.6, 0.7])
        assert summary["over_folds"]["mean_dice"]["sd"] == pytest.approx(0.1)
        assert summary["test"] == {"mean_dice": 0.9}
        assert any("0.600 ± 0.100" in line for line in lines)

    def test_the_ensemble_waits_for_all_folds(self, plan):
        pretender, lines = run(plan(folds=[2, 0]))
        assert pretender.steps == [step for step in ALL if step.endswith(("0", "2"))]
        assert "not run yet: fold 1" in lines[-1]
        pretender, _ = run(plan(folds=[1]), resume=True)
        assert pretender.steps == ["training 1", "evaluating 1", "evaluating test"]
        assert json.loads((plan().output / "summary.json").read_text())["folds"] == [0, 1, 2]


class TestInterruption:
    @pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit])
    def test_it_says_how_to_go_on_and_stays_an_interruption(self, plan, how):
        lines: list[str] = []
        steps = run_experiment(plan(), start=Pretender(plan(), before=stop_at("training", "1", how=how)))
        with pytest.raises(how):
            list(map(lines.append, steps))
        assert "--resume" in lines[-1]

    @pytest.mark.parametrize("how", [KeyboardInterrupt, 3], ids=str)
    @pytest.mark.parametrize(("step", "fold"), [("training", "0"), ("training", "1"), ("evaluating", "1")])
    def test_what_is_done_is_kept_and_a_begun_training_continued(self, plan, step, fold, how):
        with pytest.raises((KeyboardInterrupt, RunError)):
            run(plan(), before=stop_at(step, fold, how=how))
        pretender, _ = run(plan(), resume=True)
        assert pretender.steps == ALL[ALL.index(f"{step} {fold}") :]
        first = pretender.commands[0]
        assert first.get("resume") == ("True" if step == "training" else None)
        assert all("resume" not in ids for ids in pretender.commands[1:])

    def test_a_training_that_ended_before_its_first_epoch_begins_anew(self, plan):
        def before(ids):
            (plan().trial(0).folder / "last.pt").unlink()
            return 1

        with pytest.raises(RunError):
            run(plan(), before=before)
        pretender, _ = run(plan(), resume=True)
        assert "resume" not in pretender.commands[0]
        assert pretender.commands[0]["overwrite"] == "True"

    def test_a_step_that_fails_is_named_with_its_status(self, plan):
        with pytest.raises(RunError, match=r"fold 1, training: exit status 3\. .*--resume"):
            run(plan(), before=stop_at("training", "1", how=3))

    def test_nothing_is_left_to_do_after_the_end(self, plan):
        run(plan())
        pretender, lines = run(plan(), resume=True)
        assert pretender.steps == []
        assert "3 of 3 folds" in lines[0]

    def test_a_new_folder_may_be_resumed(self, plan):
        """One command for a job's first start and for its restarts."""
        assert run(plan(), resume=True)[0].steps == ALL


class TestFolders:
    def test_a_cross_validation_is_not_begun_over_another(self, plan):
        run(plan())
        with pytest.raises(OutputError, match=r"Go on with it with --resume"):
            run(plan())

    def test_a_folder_with_other_things_is_refused(self, plan, workspace):
        (workspace / "out").mkdir()
        (workspace / "out" / "thesis.txt").touch()
        for resume in (False, True):
            with pytest.raises(OutputError, match="found one in use"):
                run(plan(), resume=resume)

    def test_other_settings_do_not_go_on(self, plan):
        run(plan("--track", "false", "--depth", "18"))
        with pytest.raises(ConfigError, match="found others: aux, depth"):
            run(plan("--track", "false", "--depth", "34", "--aux", "true"), resume=True)

    def test_another_datalist_does_not_go_on(self, plan, workspace):
        run(plan())
        content = json.loads((workspace / "data" / "datalist.json").read_text())
        content["training"].pop()
        (workspace / "data" / "datalist.json").write_text(json.dumps(content))
        with pytest.raises(ConfigError, match="found others: the datalist"):
            run(plan(), resume=True)

    def test_another_overlay_does_not_go_on(self, plan, workspace):
        overlay = workspace / "bundle" / "configs" / "unet.yaml"
        overlay.write_text("depth: 3\n")
        run(plan(overlays=["unet"]))
        overlay.write_text("depth: 4\n")
        for overlays in ([], ["unet"]):
            with pytest.raises(ConfigError, match="found others: the overlay unet"):
                run(plan(overlays=overlays), resume=True)

    def test_the_state_holds_no_setting_s_value(self, plan):
        run(plan("--track", "false", "--pretrained", "/home/jane/weights.pt"))
        assert "jane" not in (plan().output / "crossval.json").read_text()


class TestTracking:
    def test_one_parent_run_is_over_all_steps_and_goes_on_after_an_interruption(self, plan, workspace):
        words = ("--experiment_name", "mine")
        with pytest.raises(KeyboardInterrupt):
            run(plan(*words), before=stop_at("training", "1"))
        client = MlflowClient(f"sqlite:///{workspace / 'bundle' / 'mlruns.db'}")
        experiment = client.get_experiment_by_name("mine").experiment_id
        (parent,) = client.search_runs([experiment])
        assert parent.info.status == "KILLED"
        pretender, _ = run(plan(*words), resume=True)
        (again,) = client.search_runs([experiment])
        assert (again.info.run_id, again.info.status) == (parent.info.run_id, "FINISHED")
        assert {ids["parent_run_id"] for ids in pretender.commands} == {parent.info.run_id}
        assert again.data.metrics["mean_dice_mean"] == pytest.approx(0.6)
        assert again.data.params["folds"] == "3"
        assert {"cases.csv", "summary.json"} <= {
            entry.path for entry in client.list_artifacts(again.info.run_id)
        }
