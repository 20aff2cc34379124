"""Overrides that name nothing stop a run; an error of ours is found behind MONAI's wrappings."""

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow, create_workflow

from pyraseg.pipeline.bundle.overrides import OverrideGuard, known_overrides, unknown_ids
from pyraseg.pipeline.utils.errors import own_error
from pyraseg.transforms.errors import ConfigError

CONFIG = """
imports:
- $import pyraseg.pipeline.bundle as bundle
max_epochs: 5
rate: $@max_epochs * 2
labels: [background, kidney]
folder: /some/where
train:
  loader: {_target_: dict, batch_size: 2}
unread: 4
augmentation_probability: 0.5
spacing_mm: [3.0, 3.0, 3.0]
patches_per_volume: 2
in_channels: 1
guard: {_target_: pyraseg.pipeline.bundle.OverrideGuard}
initialize:
- $@guard.check()
run:
- $@guard.parameters()
more: $[@labels, @folder, @rate]
transforms: $[@augmentation_probability, @spacing_mm, @patches_per_volume, @in_channels]
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


@pytest.mark.parametrize("value", ["/data/run#1", ["/data/run#1"], {"place": "run::1"}])
def test_a_path_that_monai_would_take_apart_stops_the_run(config_file, value):
    assert "without #, which MONAI takes apart, found --folder" in refusal(config_file, folder=value)


def test_what_a_checkpoint_says_itself_is_no_option(config_file):
    trained = "trained: {stated: {size: [64, 64]}, size: [32, 32], depth: 18}\n"
    Path(config_file).write_text(CONFIG + trained + "use: '@trained'\n")
    workflow(config_file, **{"trained::size": [64, 64], "trained::depth": 34}).initialize()
    with pytest.raises(RuntimeError) as wrapped:
        workflow(config_file, **{"trained::size": [48, 48]}).initialize()
    assert "wanted [64, 64], as the checkpoint says, found --trained::size [48, 48]" in str(
        own_error(wrapped.value)
    )


def test_a_server_whose_address_has_colons_passes(config_file):
    workflow(config_file, folder="http://[::1]:5000").initialize()


def test_an_overlay_may_define_ids_of_its_own(config_file, tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("extra: 1\nmax_epochs: $@extra + 1\n")
    flow = workflow([config_file, str(overlay)])
    assert list(unknown_ids(flow.parser.config, [])) != []
    assert "extra" not in dict(unknown_ids(flow.parser.config, [{"extra": 1}, flow.parser.config]))


def test_an_option_of_an_overlay_that_is_not_run_stops_with_the_overlay_s_name(config_file, tmp_path):
    overlay = Path(config_file).with_name("soft_labels.yaml")
    overlay.write_text("soft_loss: superpixel\ntrain::soft: '@soft_loss'\n")
    for name in ("soft_loss", "train::soft"):
        with pytest.raises(RuntimeError) as wrapped:
            create_workflow(config_file=config_file, logging_file=False, **{name: "svls"})
        error = own_error(wrapped.value)
        assert isinstance(error, ConfigError)
        assert f"found --{name}. It is an id of soft_labels.yaml" in str(error)
        create_workflow(config_file=[config_file, str(overlay)], logging_file=False, **{name: "svls"})


def test_a_word_that_says_what_the_config_says_is_no_override(config_file):
    Path(config_file).write_text(CONFIG + "aux: false\n")
    create_workflow(config_file=config_file, logging_file=False, aux="false")


def test_a_list_with_nothing_in_it_is_a_parameter(config_file):
    Path(config_file).write_text(CONFIG + "several: $[@max_epochs, None]\n")
    flow = workflow(config_file)
    flow.initialize()
    assert flow.run()[0]["several"] == [5, None]


def test_the_name_of_an_overlay_as_a_value_is_answered_with_the_overlay(config_file):
    Path(config_file).with_name("unet.yaml").write_text("max_epochs: 7\n")
    with pytest.raises(RuntimeError) as wrapped:
        create_workflow(config_file=config_file, logging_file=False, network_name="unet")
    assert "Name unet.yaml in --config_file as well" in str(own_error(wrapped.value))


def test_an_empty_mapping_takes_any_keys():
    assert list(unknown_ids({"run_tags": {"site": "A"}}, [{"run_tags": {}}])) == []
    assert list(unknown_ids({"cleanup": {"sise": 1}}, [{"cleanup": {"size": 0}}])) == [
        ("cleanup::sise", ["size"])
    ]


def test_overrides_are_told_apart_by_the_files_that_know_them(config_file):
    overrides = {
        "max_epochs": "3",
        "train::loader::shuffle": "true",
        "train::loder": "1",
        "surfaces": "false",
    }
    assert set(known_overrides(overrides, [Path(config_file)])) == {"max_epochs", "train::loader::shuffle"}


def test_the_parameters_are_resolved_numbers_and_lists_with_overrides(config_file):
    flow = workflow(config_file, max_epochs=7)
    flow.initialize()
    (values,) = flow.run()
    assert values["max_epochs"] == 7
    assert values["rate"] == 14
    assert values["labels"] == ["background", "kidney"]
    assert "initialize" not in values
    assert "train" not in values


def test_the_config_holds_every_id_as_a_value_or_as_written(config_file):
    flow = workflow(config_file, max_epochs=7)
    flow.initialize()
    config = flow.parser.get_parsed_content("guard").config()
    assert (config["rate"], config["train"]["loader"]["batch_size"]) == (14, 2)
    assert config["initialize"] == ["$@guard.check()"]


def test_outside_of_a_workflow_the_guard_checks_and_tells_nothing():
    guard = OverrideGuard()
    guard.check()
    assert (guard.parameters(), guard.config()) == ({}, {})


def test_the_command_line_s_words_for_yes_no_and_nothing_are_read_and_none_stays_a_name(config_file):
    Path(config_file).write_text(CONFIG + "first: 1\nsecond: 1\nthird: 1\nfourth: 1\n")
    words = {"first": "true", "second": "False", "third": "null", "fourth": "none"}
    flow = workflow(config_file, **words, **{"train::loader::batch_size": "true"})
    flow.initialize()
    assert [flow.parser[name] for name in words] == [True, False, None, "none"]
    assert flow.parser["train::loader::batch_size"] is True


def test_the_run_id_of_monai_is_not_taken_for_one_of_mlflow(config_file):
    sentence = refusal(config_file, init_id="run", run_id="new")
    assert "found --run_id new. The MLflow run to go on in is --mlflow_run_id" in sentence


def test_an_override_that_nothing_reads_stops_the_run(config_file):
    flow = create_workflow(config_file=config_file, logging_file=False, max_epochs=3)
    assert flow.parser["max_epochs"] == 3
    with pytest.raises(RuntimeError) as wrapped:
        create_workflow(config_file=config_file, logging_file=False, unread=5)
    assert "found --unread. Leave --unread out" in str(own_error(wrapped.value))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("augmentation_probability", 1.5, "a probability from 0 to 1"),
        ("augmentation_probability", -0.1, "a probability from 0 to 1"),
        ("augmentation_probability", None, "a probability from 0 to 1"),
        ("spacing_mm", [0, 3, 3], "three lengths from 0.001"),
        ("spacing_mm", [3, -3, 3], "three lengths from 0.001"),
        ("spacing_mm", [3, 1e-9, 3], "three lengths from 0.001"),
        ("spacing_mm", [3, 3], "three lengths from 0.001"),
        ("spacing_mm", 3, "three lengths from 0.001"),
        ("patches_per_volume", 0, "a whole number from 1"),
        ("max_epochs", 0, "a whole number from 1"),
        ("max_epochs", 2.5, "a whole number from 1"),
        ("in_channels", 3, "one channel of a volume"),
    ],
)
def test_a_value_that_monai_would_take_in_silence_stops_the_run(config_file, name, value, wanted):
    sentence = refusal(config_file, **{name: value})
    assert wanted in sentence
    assert f"found --{name} {value}. Correct --{name}." in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("augmentation_probability", 0),
        ("augmentation_probability", 1),
        ("augmentation_probability", "$1 / 4"),
        ("spacing_mm", (1, 2.5, 4)),
        ("spacing_mm", "$[1, 2, 3]"),
        ("patches_per_volume", 1),
    ],
)
def test_values_at_the_ends_and_expressions_pass(config_file, name, value):
    workflow(config_file, **{name: value}).initialize()


ONE_PLACE = """
imports:
- $import pyraseg.pipeline.bundle as bundle
max_epochs: 2
val_interval: 1
input_size: [8, 8]
pretrained:
num_workers: 2
steps: $@max_epochs * 10
guard: {_target_: pyraseg.pipeline.bundle.OverrideGuard}
train:
  trainer: {_target_: dict, max_epochs: '@max_epochs', workers: '@num_workers', weights: '@pretrained'}
  handlers:
  - {_target_: dict, interval: '@val_interval', size: '@input_size'}
  - {_target_: dict, interval: '@val_interval', num_workers: '@num_workers'}
initialize:
- $@guard.check()
run:
- $(@guard.parameters(), @steps, @train::trainer, @guard.settings(), @train::handlers)
"""


@pytest.fixture
def one_place(config_file):
    Path(config_file).write_text(ONE_PLACE)

    def run(**overrides):
        return create_workflow(config_file=config_file, logging_file=False, **overrides).run()[0]

    return run


def stopped(run, **overrides):
    with pytest.raises(RuntimeError) as wrapped:
        run(**overrides)
    error = own_error(wrapped.value)
    assert isinstance(error, ConfigError)
    return str(error)


@pytest.mark.parametrize("name", ["train::trainer::max_epochs", "train#trainer#max_epochs", "max_epochs"])
def test_an_override_of_a_place_is_one_of_the_value_wherever_it_is_read(one_place, name):
    parameters, steps, trainer, settings, _ = one_place(**{"max_epochs": 2, name: 5})
    assert (parameters["max_epochs"], steps, trainer["max_epochs"]) == (5, 50, 5)
    assert not any("max_epochs" in key for key in settings)  # may be raised when resuming


def test_an_overlay_s_place_is_one_of_the_value_too(one_place, config_file, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("train::trainer::max_epochs: 7\n")
    flow = create_workflow(config_file=[config_file, str(overlay)], logging_file=False)
    parameters, steps, *_ = flow.run()[0]
    assert (parameters["max_epochs"], steps) == (7, 70)


def test_a_client_s_place_is_one_of_the_value_too(one_place, config_file):
    flow = ConfigWorkflow(config_file=config_file, logging_file=False, max_epochs=9)
    flow.initialize()
    flow.max_epochs = 3  # as MONAI's federated client does
    flow.initialize()
    parameters, steps, *_ = flow.run()[0]
    assert (parameters["max_epochs"], steps) == (3, 30)


def test_one_of_several_places_is_refused_with_the_id_to_use(one_place):
    assert "Give --val_interval instead" in stopped(one_place, **{"train::handlers::0::interval": 3})
    both = {"train::handlers::0::interval": 3, "train::handlers::1::interval": 3}
    assert one_place(**both)[0]["val_interval"] == 3
    assert one_place(**{"train::handlers::1::num_workers": 0})[0]["num_workers"] == 2  # a place of its own


def test_what_a_resumed_training_must_repeat_includes_nested_overrides_and_the_weights(one_place, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"a")
    (tmp_path / "b.pt").write_bytes(b"b")
    one, other = (one_place(pretrained=str(tmp_path / name))[3] for name in ("a.pt", "b.pt"))
    assert one["pretrained"] != other["pretrained"]
    changed = one_place(**{"train::trainer::weights2": 1, "train::handlers::1::num_workers": 0})[3]
    assert {k: v for k, v in changed.items() if "::" in k} == {"train::trainer::weights2": "1"}


def test_monai_s_own_tracking_is_refused_before_anything_is_written(one_place, config_file, tmp_path):
    places = "bundle_root: .\nsave_execute_config: false\noutput_dir: out\nexperiment_name: a\nrun_name: b\n"
    Path(config_file).write_text(ONE_PLACE + places + "tracking_uri: c\n")
    before = sorted(tmp_path.rglob("*"))
    assert "found --tracking. Leave it out" in stopped(
        one_place, tracking="mlflow", output_dir=str(tmp_path / "o")
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_device_is_torch_s_and_is_looked_for_first(one_place, config_file):
    Path(config_file).write_text(ONE_PLACE + "device: $None\nused: '@device'\n")
    flow = create_workflow(config_file=config_file, logging_file=False, device="cpu")
    assert flow.parser.get_parsed_content("device") == torch.device("cpu")
    assert "a device that torch knows" in stopped(one_place, device="gpu")
