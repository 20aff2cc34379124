"""Overrides that name nothing stop a run; an error of ours is found behind MONAI's wrappings."""

from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow, create_workflow

from pyraseg.pipeline.bundle.overrides import known_overrides, unknown_ids
from pyraseg.pipeline.utils.errors import own_error
from pyraseg.transforms.errors import ConfigError, InputError, LabelError

CONFIG = """
imports:
- $import pyraseg.pipeline.bundle.overrides as config
max_epochs: 5
rate: $@max_epochs * 2
labels: [background, kidney]
folder: /some/where
train:
  loader: {_target_: dict, batch_size: 2}
initialize:
- $config.refuse_unknown_ids()
run:
- $config.plain_values()
"""


@pytest.fixture
def config_file(tmp_path):
    file = tmp_path / "configs" / "train.yaml"
    file.parent.mkdir()
    file.write_text(CONFIG)
    return str(file)


def workflow(config_file, **overrides):
    return ConfigWorkflow(config_file=config_file, logging_file=False, **overrides)


def refusal(config_file, **overrides):
    with pytest.raises(RuntimeError) as wrapped:
        workflow(config_file, **overrides).initialize()
    error = own_error(wrapped.value)
    assert isinstance(error, ConfigError)
    return str(error)


def test_an_override_that_names_no_id_stops_with_the_nearest_name(config_file):
    assert "found --max_epohcs. Did you mean --max_epochs?" in refusal(config_file, max_epohcs=3)


def test_a_nested_override_that_names_no_id_stops_with_the_nearest_name(config_file):
    assert "found --train::loder. Did you mean --train::loader?" in refusal(
        config_file, **{"train::loder": 3}
    )


def test_known_overrides_and_new_arguments_of_a_component_pass(config_file):
    workflow(config_file, max_epochs=3, **{"train::loader::shuffle": True}).initialize()


def test_an_overlay_may_define_ids_of_its_own(config_file, tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("extra: 1\nmax_epochs: $@extra + 1\n")
    flow = workflow([config_file, str(overlay)])
    assert list(unknown_ids(flow.parser.config, [])) != []
    assert "extra" not in dict(unknown_ids(flow.parser.config, [{"extra": 1}, flow.parser.config]))


def test_an_option_of_an_overlay_that_is_not_run_stops_with_the_overlay_s_name(config_file, tmp_path):
    overlay = Path(config_file).with_name("soft_labels.yaml")
    overlay.write_text("soft_loss: superpixel\ntrain::soft: 1\n")
    for name in ("soft_loss", "train::soft"):
        with pytest.raises(RuntimeError) as wrapped:
            create_workflow(config_file=config_file, logging_file=False, **{name: "svls"})
        error = own_error(wrapped.value)
        assert isinstance(error, ConfigError)
        assert f"found --{name}. It is an id of soft_labels.yaml" in str(error)
        create_workflow(config_file=[config_file, str(overlay)], logging_file=False, **{name: "svls"})


def test_overrides_are_told_apart_by_the_files_that_know_them(config_file):
    overrides = {
        "max_epochs": "3",
        "train::loader::shuffle": "true",
        "train::loder": "1",
        "surfaces": "false",
    }
    assert set(known_overrides(overrides, [Path(config_file)])) == {"max_epochs", "train::loader::shuffle"}


def test_plain_values_holds_resolved_numbers_and_lists_with_overrides(config_file):
    flow = workflow(config_file, max_epochs=7)
    flow.initialize()
    (values,) = flow.run()
    assert values["max_epochs"] == 7
    assert values["rate"] == 14
    assert values["labels"] == ["background", "kidney"]
    assert "initialize" not in values
    assert "train" not in values


def test_the_command_line_s_words_for_yes_no_and_nothing_are_read_and_none_stays_a_name(config_file):
    file = Path(config_file)
    file.write_text(
        CONFIG.replace(
            "initialize:\n", "first: 1\nsecond: 1\nthird: 1\nfourth: 1\ninitialize:\n- $config.read_flags()\n"
        )
    )
    flow = workflow(config_file, first="true", second="False", third="null", fourth="none")
    flow.initialize()
    assert [flow.parser[name] for name in ("first", "second", "third", "fourth")] == [
        True,
        False,
        None,
        "none",
    ]


def test_our_error_is_found_behind_the_wrappings_of_others():
    ours = InputError("a file", found="none", remedy="Check.")
    wrapped = RuntimeError("applying transform")
    wrapped.__cause__ = RuntimeError("in a worker")
    wrapped.__cause__.__cause__ = ours
    assert own_error(wrapped) is ours
    assert own_error(RuntimeError("alone")) is None


def test_our_error_is_found_in_what_a_data_loading_process_sends():
    ours = LabelError("mask values 0, 1", found="7, in case c1", remedy="Declare 0.5 or 7.")
    text = "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback:\n  File ..."
    text += f"\ntransforms.errors.LabelError: {ours}\n\nmore"
    found = own_error(RuntimeError(text))
    assert type(found) is LabelError
    assert str(found) == str(ours)
    assert (found.wanted, found.found, found.remedy) == (ours.wanted, ours.found, ours.remedy)
