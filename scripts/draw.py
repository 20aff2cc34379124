"""Less of a datalist: python scripts/draw.py us.json few_0.json --groups 0.1 --frames 20 --validation_frames
4 --seed 0

Draws a part of the training groups, of each class (of the whole image, if the list has it) alike, and at most
so many frames of each. Validation frames are thinned alike for every seed; the test split stays as it is.
"""

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from pyraseg.pipeline.datalist import write_datalist

Item = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datalist", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument(
        "--groups", type=float, default=1.0, help="part of the training groups (default: all)"
    )
    parser.add_argument("--frames", type=int, help="at most so many of a training group")
    parser.add_argument("--validation_frames", type=int, help="at most so many of a validation group")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    content = json.loads(arguments.datalist.read_text())
    rng = random.Random(arguments.seed)
    groups = draw_groups(by_group(content["training"]), arguments.groups, rng)
    splits = {
        "training": draw_frames(groups, arguments.frames, rng),
        "validation": draw_frames(
            by_group(content["validation"]), arguments.validation_frames, random.Random(0)
        ),
        "test": content["test"],
    }
    label_map = {int(value): label for value, label in content["label_map"].items()}
    write_datalist(arguments.output, splits, label_names=content["label_names"], label_map=label_map)
    print(
        f"{len(groups)} training groups;",
        ", ".join(f"{split} {len(items)}" for split, items in splits.items()),
    )


def by_group(items: list[Item]) -> dict[str, list[Item]]:
    groups = defaultdict(list)
    for item in sorted(items, key=lambda item: str(item["image"])):
        groups[item["group"]].append(item)
    return groups


def draw_groups(groups: dict[str, list[Item]], part: float, rng: random.Random) -> dict[str, list[Item]]:
    """Of the groups of each class as large a part, at least one."""
    classes = defaultdict(list)
    for group, items in groups.items():
        classes[str(items[0].get("class"))].append(group)
    drawn = {
        group for alike in classes.values() for group in rng.sample(alike, max(1, round(len(alike) * part)))
    }
    return {group: items for group, items in groups.items() if group in drawn}


def draw_frames(groups: dict[str, list[Item]], frames: int | None, rng: random.Random) -> list[Item]:
    return [
        item
        for items in groups.values()
        for item in (items if frames is None or len(items) <= frames else rng.sample(items, frames))
    ]


if __name__ == "__main__":
    main()
