"""TorchScript and ONNX compute what the module computes."""

import io

import numpy as np
import pytest
import torch

from pyraseg.pipeline.networks import CBAMResNetPSPNet

SMALL = {"in_channels": 1, "depth": 18, "dropout": 0.0}


def network(**options) -> CBAMResNetPSPNet:
    """A network whose attention is not the neutral one of the start."""
    torch.manual_seed(0)
    built = CBAMResNetPSPNet(**{**SMALL, **options})
    for name, parameter in built.named_parameters():
        if name.startswith("attention"):
            torch.nn.init.normal_(parameter, std=0.2)
    return built


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"aux": True}, (50, 61)),
        ({"aux": True, "attention": "cam", "order": "spatial_first", "stem": "plain7"}, (64, 64)),
        ({"attention": "none", "output_stride": 8}, (64, 70)),
        ({"spatial_dims": 3, "aux": True, "attention": "cbam"}, (33, 20, 34)),
        ({"aux": True, "skips": [2, 1]}, (50, 61)),
    ],
)
def test_torchscript_agrees_in_both_modes_after_saving(options, size):
    eager = network(**options)
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(eager), file)
    file.seek(0)
    scripted = torch.jit.load(file)
    x = torch.randn(1, 1, *size)
    for mode in (True, False):
        with torch.no_grad():
            expected, found = eager.train(mode)(x), scripted.train(mode)(x)
        assert expected.dim() == len(size) + (3 if mode and "aux" in options else 2)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"aux": True, "skips": [2, 1]}, (224, 224)),
        ({"attention": "none"}, (90, 107)),
        ({"spatial_dims": 3}, (32, 40, 33)),
    ],
)
def test_onnx_agrees(options, size, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime runs the exported graph")
    eager = network(**options).eval()
    x = torch.randn(1, 1, *size)
    torch.onnx.export(eager, (x,), tmp_path / "network.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        expected = eager(x).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
