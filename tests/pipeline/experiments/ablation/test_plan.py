"""What cannot work is said before the first training; a grid's arms become plain MONAI commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyraseg.pipeline.experiments.grid import read_grid
from pyraseg.transforms.errors import ConfigError, DatalistError, UsageError
from tests.pipeline.experiments.cross_validation.pretender import read

ARMS = [
    f"attention={attention},labels={labels}" for attention in ("none", "cbam") for labels in ("hard", "soft")
]


def ids(words):
    return read(words[5:])


class TestArms:
    def test_they_are_all_combinations_the_first_axis_slowest(self, plan):
        assert [arm.name for arm in plan().arms] == ARMS

    def test_each_has_the_overrides_and_overlays_of_its_settings(self, plan, workspace):
        hard, soft = plan().arms[:2]
        assert (dict(hard.overrides), hard.overlays) == ({"attention": "'none'"}, ())
        assert set(soft.overrides) == {"attention", "soft_beta"}
        assert soft.overlays == (workspace / "bundle" / "configs" / "soft_labels.yaml",)

    def test_names_may_be_numbers(self, plan):
        made = plan(grid="depth: {18: {depth: 18}, 34: {depth: 34}}")
        assert [arm.name for arm in made.arms] == ["depth=18", "depth=34"]

    def test_a_seed_s_arms_are_behind_each_other(self, plan):
        assert [(arm.name, seed) for arm, seed in plan().runs] == [
            (arm, seed) for seed in (0, 1) for arm in ARMS
        ]


class TestRefusals:
    @pytest.mark.parametrize(
        ("grid", "message"),
        [
            ("- 1", "another form"),
            ("a: {}", "another form"),
            ("a: 3", "another form"),
            ("a: {off: {}}", "another form"),
            ("a: {../x: {}}", "another form"),
            ("a: {x: 5}", "a=x with neither"),
            ("a: [", "ParserError"),
            ("a: {x: {config: sotf_labels}}", "evaluate, soft_labels, train, found 'sotf_labels'"),
            ("a: {x: {config: null}}", "overlays by name, found None in a=x"),
            ("a: {x: {config: {soft_labels: true}}}", "overlays by name, found {'soft_labels': True} in a=x"),
            ("a: {x: {depth: 18}, y: {depth: 18}}", "the same settings in a=x and a=y"),
            ("a: {x: {depth: 18}}\nb: {y: {depth: 34}}", "found depth in two"),
            ("a: {x: {seed: 3}}", "seed in a=x. Use --seeds"),
            ("a: {x: {tracking_uri: u}}", "for all arms"),
            ("a: {x: {attenton: se}}", "found --attenton. Did you mean --attention"),
            ("a: {x: {soft_beta: 2}}", "found --soft_beta. It is an id of soft_labels.yaml"),
            ("a: {x: {track: false}}", "for all arms"),
        ],
    )
    def test_a_grid_that_cannot_be_meant_so(self, plan, grid, message):
        with pytest.raises(ConfigError) as refused:
            plan(grid=grid)
        assert message in str(refused.value)

    def test_no_grid(self, plan, workspace):
        (workspace / "grid.yaml").unlink()
        with pytest.raises(ConfigError, match="FileNotFoundError"):
            plan()

    @pytest.mark.parametrize("seeds", ["", "a", "0,,1", "0,0", "-1", "1.5"])
    def test_seeds_that_are_no_numbers_or_twice_there(self, plan, seeds):
        with pytest.raises(UsageError, match="--seeds"):
            plan(seeds=seeds)

    @pytest.mark.parametrize("name", ["seed", "output_dir", "resume", "checkpoint", "config_file", "run_id"])
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
        words = made.training(made.arms[3], 1, parent="abc", resume=False)
        assert words[1:5] == ["-m", "monai.bundle", "run", "training"]
        found = ids(words)
        configs = workspace / "bundle" / "configs"
        assert found["config_file"] == str([str(configs / "train.yaml"), str(configs / "soft_labels.yaml")])
        assert (found["depth"], found["attention"], found["soft_beta"], found["seed"]) == (
            "18",
            "cbam",
            "0.5",
            "1",
        )
        assert found["run_name"] == "attention=cbam,labels=soft, seed 1"
        assert found["parent_run_id"] == "abc"

    def test_an_evaluation_is_of_the_test_split_and_has_no_option_of_an_overlay(self, plan, workspace):
        made = plan("--surfaces", "false", "--soft_loss", "svls")
        found = ids(made.evaluating(made.arms[3], 1, parent=None))
        assert found["config_file"].endswith("evaluate.yaml']")
        assert (found["split"], found["surfaces"], found["attention"]) == ("test", "false", "cbam")
        assert not {"soft_loss", "soft_beta", "seed"} & set(found)
        assert found["checkpoint"] == str(made.folder(made.arms[3], 1) / "model.pt")

    def test_a_training_has_no_option_of_the_evaluation_nor_of_another_arm_s_overlay(self, plan):
        made = plan("--surfaces", "false", "--soft_loss", "svls")
        hard, soft = (ids(made.training(arm, 0, parent=None, resume=False)) for arm in made.arms[:2])
        assert "surfaces" not in hard
        assert "soft_loss" not in hard
        assert soft["soft_loss"] == "svls"

    def test_nothing_is_a_word_that_the_bundle_reads(self, plan):
        made = plan(grid="weights: {none: {class_weights: null}, some: {class_weights: [1, 2]}}")
        found = [ids(made.training(arm, 0, parent=None, resume=False))["class_weights"] for arm in made.arms]
        assert found == ["null", "[1, 2]"]

    @pytest.mark.parametrize(
        ("written", "read_back"), [("1e-3", 0.001), ("-2.5E2", -250.0), ("1.0e-3", 0.001)]
    )
    def test_a_number_with_an_exponent_is_a_number(self, plan, written, read_back):
        """YAML takes 1e-3 for a word, with which an optimiser fails hours later."""
        made = plan(grid=f"depth: {{a: {{depth: {written}}}}}")
        assert made.arms[0].overrides == {"depth": repr(read_back)}

    def test_the_data_may_be_drawn_anew_for_each_seed(self, plan, workspace):
        content = json.loads((workspace / "data" / "datalist.json").read_text())
        for seed in (0, 1):
            content["training"].append({**content["training"][0], "case": f"c{seed}"})
            (workspace / "data" / f"few_{seed}.json").write_text(json.dumps(content))
        made = plan(datalist=workspace / "data" / "few_{seed}.json")
        found = ids(made.training(made.arms[0], 1, parent=None, resume=False))
        assert found["datalist"] == str(workspace / "data" / "few_1.json")
        assert made.digests[0] != made.digests[1]


def test_the_shipped_grid_is_four_arms_of_the_bundle():
    bundle = Path(__file__).parents[4] / "bundles" / "us_hydronephrosis"
    assert [arm.name for arm in read_grid(bundle / "grids" / "attention_labels.yaml", bundle=bundle)] == ARMS
