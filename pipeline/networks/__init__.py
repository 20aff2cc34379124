"""Segmentation networks by name, 2D and 3D from the same classes, and the loading of their weights."""

from __future__ import annotations

from pyraseg.pipeline.networks.baselines import (
    DEFAULT_NETWORK,
    NETWORKS,
    DynUNet,
    FlexibleUNet,
    SegResNet,
    UNet,
    build_network,
)
from pyraseg.pipeline.networks.cbam_resnet_pspnet import CBAMResNetPSPNet
from pyraseg.pipeline.networks.checkpoint import load_checkpoint, read_checkpoint
from pyraseg.pipeline.networks.pretrained import (
    PretrainedReport,
    freeze_backbone,
    load_pretrained,
    unfreeze_backbone,
)
