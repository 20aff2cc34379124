"""The common operating points of a cross-validation's networks."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pyraseg.pipeline.inference.trained import CALIBRATION, COMMON_POINTS
from pyraseg.pipeline.networks import read_checkpoint
from pyraseg.pipeline.networks.checkpoint import BEST, facts_of
from pyraseg.pipeline.trust.curve import Curve
from pyraseg.pipeline.trust.curve_table import TABLE, read_table
from pyraseg.pipeline.trust.operating_point import Rule, describe_point
from pyraseg.pipeline.utils.files import write_json

__all__ = ["pool_operating_points"]

logger = logging.getLogger(__name__)


def pool_operating_points(folders: Sequence[Path], output: Path) -> Path | None:
    """Choose each class's operating point on the cases of all folds, each seen by the network without it.

    The points of the single folds differ, because each was chosen on its own patients; their common one rests
    on all of them. It lies beside the folds, where `trained_facts` finds it for their ensemble.

    Args:
        folders: of the trainings.
        output: of the cross-validation.

    Returns:
        ``operating_point.json``; None where a fold has no curve, as those of earlier versions.
    """
    tables = [folder / CALIBRATION / TABLE for folder in folders]
    if not all(table.is_file() for table in tables):
        return None
    by_class: dict[str, list[Curve]] = defaultdict(list)
    for curve in (curve for table in tables for curve in read_table(table)):
        by_class[curve.label].append(curve)
    settings = facts_of(read_checkpoint(folders[0] / BEST))[CALIBRATION]["settings"]["operating_point"]
    rules = {name: Rule(*next(iter(rule.items()))) for name, rule in settings["rules"].items()}
    found = {name: describe_point(Curve.join(all_), rules.get(name)) for name, all_ in by_class.items()}
    for name in rules.keys() & found.keys():
        if not found[name]["met"]:
            logger.warning("the folds together do not meet the rule of %s: it keeps the argmax", name)
    return write_json(output / COMMON_POINTS, found)
