"""A grid's arms are all combinations of its settings; one that cannot be meant so is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyraseg.pipeline.experiments.grid import read_grid
from pyraseg.transforms.errors import ConfigError
from tests.pipeline.experiments.cross_validation.pretender import read_step

ARMS = [
    f"attention={attention},labels={labels}" for attention in ("none", "cbam") for labels in ("hard", "soft")
]


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
            ("a: [", "a syntax error in line 1"),
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


class TestValues:
    def test_nothing_is_a_word_that_the_bundle_reads(self, plan):
        made = plan(grid="weights: {none: {class_weights: null}, some: {class_weights: [1, 2]}}")
        steps = [read_step(made, f"{arm.name}, seed 0, training") for arm in made.arms]
        assert [ids["class_weights"] for ids in steps] == ["null", "[1, 2]"]

    @pytest.mark.parametrize(
        ("written", "read_back"), [("1e-3", 0.001), ("-2.5E2", -250.0), ("1.0e-3", 0.001)]
    )
    def test_a_number_with_an_exponent_is_a_number(self, plan, written, read_back):
        """YAML takes 1e-3 for a word, with which an optimiser fails hours later."""
        made = plan(grid=f"depth: {{a: {{depth: {written}}}}}")
        assert made.arms[0].overrides == {"depth": repr(read_back)}


def test_the_shipped_grid_is_four_arms_of_the_bundle():
    bundle = Path(__file__).parents[4] / "bundles" / "us_hydronephrosis"
    assert [arm.name for arm in read_grid(bundle / "grids" / "attention_labels.yaml", bundle=bundle)] == ARMS
