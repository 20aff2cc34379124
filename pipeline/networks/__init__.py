"""Segmentation networks as pure modules, 2D and 3D from the same classes, and the loading of their weights."""

from __future__ import annotations

from pipeline.networks.cbam_resnet_pspnet import CBAMResNetPSPNet
from pipeline.networks.checkpoint import load_checkpoint, read_checkpoint
from pipeline.networks.pretrained import PretrainedReport, freeze_backbone, load_pretrained

__all__ = [
    "CBAMResNetPSPNet",
    "PretrainedReport",
    "freeze_backbone",
    "load_checkpoint",
    "load_pretrained",
    "read_checkpoint",
]
