"""Which frames pretraining takes, what its loss rewards, and that its file is what training loads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer

from pyraseg.pipeline.networks import CBAMResNetPSPNet, load_pretrained
from pyraseg.pipeline.training.pretraining import (
    ORIENTATIONS,
    TARGETS,
    BackboneFile,
    RestorationLoss,
    frame_facts,
    pretrain,
)
from pyraseg.transforms.augmentation.corruption import TissueRegion
from pyraseg.transforms.errors import CheckpointError, ConfigError
from tests.chains import frame_corruption

CPU = torch.device("cpu")
SIZE = (48, 48)


def network(**options) -> CBAMResNetPSPNet:
    return CBAMResNetPSPNet(
        **{"depth": 18, "stem": "deep2", "out_channels": TARGETS, "dropout": 0.0, **options}
    )


def stripes(angle: float, *, size: int = 64) -> torch.Tensor:
    """Waves (1, 1, size, size) whose gradient points ``angle`` radians down from the right."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    phase = np.sin(angle) * rows + np.cos(angle) * columns
    return (0.5 + 0.4 * torch.sin(phase / 3))[None, None].float()


def labelled(frame: torch.Tensor) -> torch.Tensor:
    return torch.cat([frame, torch.ones_like(frame)], dim=1)


def test_the_facts_are_counts():
    frames = [{"group": group} for group in ("ga", "ga", "gb", "gb")]
    facts = frame_facts(frames, torch.nn.Linear(3, 2))
    assert facts == {"training_frames": 4, "training_groups": 2, "network_parameters": 8}


class TestRestorationLoss:
    def perfect(self, label: torch.Tensor, loss: RestorationLoss) -> torch.Tensor:
        """The output that the loss is smallest for, found by its own gradient: the loss is quadratic in the
        output."""
        output = torch.zeros(label.shape[0], TARGETS, *label.shape[2:], requires_grad=True)
        optimizer = torch.optim.LBFGS([output], max_iter=200, line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            value = loss(output, label)
            value.backward()
            return value

        optimizer.step(closure)
        return output.detach()

    @pytest.mark.parametrize("angle", [0.0, 0.5, 1.2, 2.2, 3.0])
    def test_orientations_are_those_of_the_gradient(self, angle):
        loss = RestorationLoss(8)
        inner = self.perfect(labelled(stripes(angle)), loss)[0, 1:, 16:48, 16:48].mean(dim=(1, 2))
        assert inner.shape == (ORIENTATIONS,)
        assert int(inner.argmax()) == int(angle % np.pi / np.pi * ORIENTATIONS)

    def test_gain_and_offset_change_nothing_to_restore_where_there_is_contrast(self):
        loss, frame = RestorationLoss(8), stripes(0.5)
        restored = self.perfect(labelled(frame), loss)
        assert float(loss(restored, labelled(frame))) < 1e-3
        assert float(loss(restored, labelled(0.5 * frame + 0.2))) < 1e-2
        assert float(loss(restored, labelled(stripes(2.0)))) > 0.5

    def test_what_lies_outside_the_tissue_counts_nothing(self):
        loss, label, restored = RestorationLoss(8), labelled(stripes(1.0)), torch.randn(1, TARGETS, 64, 64)
        label[:, 1, :, 32:] = 0
        before = loss(restored, label)
        restored[:, :, :, 32:] += 5
        assert torch.equal(loss(restored, label), before)

    def test_a_frame_without_tissue_gives_no_error_and_a_finite_gradient(self):
        restored = torch.randn(1, TARGETS, 40, 40, requires_grad=True)
        value = RestorationLoss(8)(restored, torch.zeros(1, 2, 40, 40))
        value.backward()
        assert value.item() == 0
        assert torch.isfinite(restored.grad).all()

    def test_the_constant_0_has_an_error_of_1_for_brightness_alone(self):
        loss = RestorationLoss(8, orientation_weight=0.0)
        assert float(loss(torch.zeros(1, TARGETS, 64, 64), labelled(stripes(0.7)))) == pytest.approx(
            1, abs=0.01
        )

    @pytest.mark.parametrize("options", [{"cell_size": 0}, {"orientation_weight": -1.0}])
    def test_a_setting_out_of_range_is_refused(self, options):
        with pytest.raises(ConfigError, match="cell_size"):
            RestorationLoss(**options)


class Recorder:
    """Stands where the tracker does."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def log_file(self, path, folder):
        self.stored = (str(path), folder)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The network, its file and the losses of a short pretraining on four small frames, eight times each an
    epoch."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("pretrained") / "backbone.pt"
    frames = [stripes(angle, size=SIZE[0])[0] for angle in (0.2, 0.9, 1.7, 2.5)]
    data = [{"image": frame, "tissue": TissueRegion()(frame)} for frame in frames] * 8
    corruption = frame_corruption(SIZE, probability=0.1).set_random_state(0)
    learner, losses, recorder = network(output_stride=8), [], Recorder()
    trainer = SupervisedTrainer(
        device=CPU,
        max_epochs=3,
        train_data_loader=DataLoader(Dataset(data, corruption), batch_size=4),
        network=learner,
        optimizer=torch.optim.AdamW(learner.parameters(), lr=1e-3),
        loss_function=RestorationLoss(8),
        train_handlers=[BackboneFile(file, network=learner)],
        decollate=False,
    )
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output["loss"].item())
    )
    pretrain(trainer, recorder, backbone=file)
    assert recorder.stored == (str(file), "checkpoints")
    return learner, file, losses


def test_the_loss_falls(pretrained):
    losses = pretrained[2]
    assert np.mean(losses[-8:]) < 0.75 * np.mean(losses[:4])


def test_training_loads_every_tensor_of_the_backbone(pretrained):
    learner, file, _ = pretrained
    fresh = network(out_channels=2, output_stride=16, attention="none")
    report = load_pretrained(fresh, file)
    assert set(report.loaded) == set(fresh.backbone.state_dict())
    assert (report.adapted, dict(report.skipped), report.missing, report.unexpected) == ((), {}, (), ())
    for name, value in fresh.backbone.state_dict().items():
        assert torch.equal(value, learner.backbone.state_dict()[name]), name


def test_the_file_reads_without_running_code_and_says_what_it_is(pretrained):
    content = torch.load(pretrained[1], weights_only=True)
    assert content["backbone"] == {"spatial_dims": 2, "in_channels": 3, "depth": 18, "stem": "deep2"}
    assert content["epoch"] == 3
    assert [entry.name for entry in pretrained[1].parent.iterdir()] == ["backbone.pt"]


@pytest.mark.parametrize(("option", "value"), [("depth", 34), ("stem", "plain7")])
def test_another_backbone_is_refused_with_the_option_to_set(pretrained, option, value):
    other = network(**{option: value})
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=f"{option} {value}, found one with {option}.*--{option}"
    ) as raised:
        load_pretrained(other, pretrained[1])
    assert str(pretrained[1]) not in str(raised.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_a_network_of_grey_frames_takes_a_backbone_of_three_channels_but_not_the_other_way(
    pretrained, tmp_path
):
    assert load_pretrained(network(in_channels=1), pretrained[1]).adapted == ("conv1.0.weight",)
    content = torch.load(pretrained[1], weights_only=True)
    content["backbone"]["in_channels"] = 1
    torch.save(content, tmp_path / "backbone.pt")
    with pytest.raises(CheckpointError, match="--in_channels 1"):
        load_pretrained(network(), tmp_path / "backbone.pt")
