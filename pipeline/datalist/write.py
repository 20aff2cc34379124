"""Write a datalist: JSON in MONAI's decathlon style, one item per line, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyraseg.pipeline.datalist.items import SPLITS, Item
from pyraseg.pipeline.datalist.labels import check_labels, sort_keys
from pyraseg.pipeline.datalist.rules import check_items, complete_item, content_digest
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.transforms.errors import DatalistError
from pyraseg.transforms.io.reading_options import ReadingOptions

__all__ = ["write_datalist"]


def write_datalist(
    path: str | Path,
    splits: Mapping[str, Sequence[Item]],
    *,
    label_names: Sequence[str],
    label_map: Mapping[int | str, int] | None = None,
    reading: ReadingOptions | None = None,
    **extra: Any,
) -> Path:
    """Write ``training``, ``validation`` and ``test`` with the label set, a digest and ``extra``.

    Args:
        path: the JSON file; its folder is made.
        splits: items by split, with ``image`` and ``label`` relative to the data set's folder. A missing
            ``case`` becomes the keyed hash of the image's path, a missing ``group`` the case itself.
        label_names: the classes in the order of their values, "background" first.
        label_map: from keys in label files to classes (see `Datalist`); None for the identity.
        reading: how the series and labels have to be read; None for the default.

    Raises:
        DatalistError: an unknown split, a malformed item, a repeated case, a group in two splits.
        LabelError: the label set is contradictory.
        OutputError: the file cannot be written.
    """
    if unknown := sorted(set(splits) - set(SPLITS)):
        wanted, remedy = f"the splits {', '.join(SPLITS)}", "Rename the split."
        raise DatalistError(wanted, found=f'"{unknown[0]}"', remedy=remedy)
    mapping: dict[int | str, int] = {value: value for value in range(len(label_names))}
    mapping = mapping if label_map is None else dict(label_map)
    check_labels(label_names, mapping)
    complete = {split: [complete_item(item) for item in splits.get(split, ())] for split in SPLITS}
    check_items(complete)
    given = ReadingOptions.of(reading).given
    head = {
        **extra,
        **({"reading": given} if given else {}),
        "label_names": list(label_names),
        "label_map": {str(value): mapping[value] for value in sort_keys(mapping)},
        "digest": content_digest(complete, label_names, mapping, given),
    }
    # one line per item, for readable diffs of splits
    lines = [f' "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in sorted(head.items())]
    for split, items in complete.items():
        block = ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in items)
        lines.append(f' "{split}": [\n{block}\n ]' if items else f' "{split}": []')
    with atomic_write(path, "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    return Path(path)
