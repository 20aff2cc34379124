"""What cannot work is said before the first training; what is run is plain MONAI."""

from __future__ import annotations

import json

import pytest

from pyraseg.pipeline.experiments.cross_validation_plan import read_overrides
from pyraseg.transforms.errors import ConfigError, DatalistError
from tests.pipeline.experiments.cross_validation.pretender import FOLDS, read


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

    def test_a_folder_that_is_no_bundle_is_refused(self, plan, workspace):
        (workspace / "bundle" / "configs" / "evaluate.yaml").unlink()
        with pytest.raises(ConfigError, match="--bundle"):
            plan()


class TestCommands:
    def test_a_training_is_monai_s_own_command_with_the_user_s_overrides(self, plan, workspace):
        words = plan("--depth", "18", "--run_name", "mine").training(1, parent="abc", resume=False)
        assert words[1:5] == ["-m", "monai.bundle", "run", "training"]
        ids = read(words[5:])
        assert ids["depth"] == "18"
        assert ids["fold"] == "1"
        assert ids["run_name"] == "mine fold 1"
        assert ids["output_dir"] == str(workspace / "out" / "fold_1")

    def test_a_name_with_a_comma_stays_a_name(self, plan):
        """MONAI's command line reads `a, b` as a tuple."""
        assert read(plan().testing(parent="1e5")[5:])["run_name"] == "ensemble, test"
        assert read(plan().testing(parent="1e5")[5:])["parent_run_id"] == "1e5"

    def test_a_fold_is_measured_on_its_own_validation_cases_with_its_own_network(self, plan, workspace):
        words = plan().evaluating(2, parent=None)
        ids = read(words[5:])
        assert (ids["fold"], ids["split"]) == ("2", "validation")
        assert ids["checkpoint"] == str(workspace / "out" / "fold_2" / "model.pt")
        assert "parent_run_id" not in ids


class TestOverrides:
    def test_both_forms_are_read(self):
        assert read_overrides(["--depth", "18", "--a::b=[1, 2]", "--x", "-1"]) == {
            "depth": "18",
            "a::b": "[1, 2]",
            "x": "-1",
        }

    @pytest.mark.parametrize("words", [["depth", "18"], ["--aux"], ["--depth", "18", "19"]], ids=str)
    def test_words_that_are_no_pairs_are_refused(self, words):
        with pytest.raises(ConfigError, match="overrides in pairs"):
            read_overrides(words)

    @pytest.mark.parametrize("name", ["fold", "output_dir", "resume", "checkpoint", "config_file"])
    def test_what_each_step_sets_for_itself_is_refused(self, name):
        with pytest.raises(ConfigError, match=f"found --{name}"):
            read_overrides([f"--{name}", "1"])
