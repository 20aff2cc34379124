"""The model zoo's description of a network, in ``metadata.json``, as it is true for one checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["describe_network"]


def describe_network(
    metadata: Mapping[str, Any], *, label_names: Sequence[str], input_size: Sequence[int], in_channels: int
) -> dict[str, Any]:
    """A copy of ``metadata`` with the classes, channels and size of a network that another training made.

    Without it an export of two classes would carry the bundle's three, and other tools name them wrongly.

    Example:
        >>> metadata = {"network_data_format": {"outputs": {"pred": {"channel_def": {"0": "a", "1": "b"}}}}}
        >>> own = describe_network(metadata, label_names=["a", "c"], input_size=[64, 64], in_channels=1)
        >>> own["network_data_format"]["outputs"]["pred"]["channel_def"]
        {'0': 'a', '1': 'c'}
    """
    own = copy.deepcopy(dict(metadata))
    formats = own.get("network_data_format", {})
    for side, channels in (("inputs", in_channels), ("outputs", len(label_names))):
        for entry in formats.get(side, {}).values():
            entry |= {"num_channels": channels, "spatial_shape": list(input_size)}
            names = list(entry.get("channel_def", {}).values())
            if side == "outputs":
                names = list(label_names)
            elif len(names) != channels:
                names = [f"channel {number}" for number in range(channels)]
            entry["channel_def"] = {str(number): name for number, name in enumerate(names)}
    declared = {segment["name"]: segment for segment in own.get("segments", ())}
    if list(declared) != list(label_names):
        own["segments"] = [
            declared.get(name, {"name": name}) | {"value": value} for value, name in enumerate(label_names)
        ]
        classes = ", ".join(f"{value} is {name}" for value, name in enumerate(label_names))
        own["label_classes"] = f"single channel, {classes}"
        own["pred_classes"] = f"{len(label_names)} channels, scores of {', '.join(label_names)}"
    return own
