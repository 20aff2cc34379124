"""Initial weights of a network."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from pyraseg.pipeline.networks.attention import ChannelAttention, SpatialAttention

__all__ = ["initialise"]


def initialise(network: nn.Module) -> None:
    """Draw every convolution from He's normal distribution; attention starts neutral.

    * Convolutions: He et al., ICCV 2015, by fan-out, as torchvision's ResNet; batch norms: weight 1, bias 0.
    * The last layer of each attention unit is 0, so that every weight starts at 0.5 (as the spatial gate in
      CBAM's reference code). He's rule, made for ReLU, would saturate the sigmoid.
    * The classifiers keep PyTorch's uniform distribution, with bias 0. Started near 0 (a standard deviation
      of 0.01) their weights all took the sign of the background, the most frequent class, in the first steps;
      behind a ReLU no feature could then speak for another class, and some trainings never let it win.
    """
    for module in network.modules():
        if isinstance(module, _ConvNd):
            if module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:  # a classifier
                module.reset_parameters()
                nn.init.zeros_(module.bias)
        elif isinstance(module, _BatchNorm):
            module.reset_parameters()
    for module in network.modules():
        if isinstance(module, ChannelAttention):
            nn.init.zeros_(module.mlp.get_parameter("2.weight"))
        elif isinstance(module, SpatialAttention):
            nn.init.zeros_(module.conv.weight)
