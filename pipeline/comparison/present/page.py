"""Write ``comparison.html``: one file that opens in a browser without a network and runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from pyraseg.pipeline.comparison.present.pictures import SideBySide
from pyraseg.pipeline.comparison.present.plots import (
    agreement_plots,
    arm_plots,
    difference_plots,
    efficiency_plot,
    reliability_plots,
)
from pyraseg.pipeline.comparison.present.sections import HEADINGS, sections
from pyraseg.pipeline.comparison.present.svg import legend_line
from pyraseg.pipeline.comparison.present.wording import in_short, lead, remarks, verdicts
from pyraseg.pipeline.comparison.statistics.results import Comparison
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.pages import page_template, policy_hash, read_part
from pyraseg.transforms.records import Segment

__all__ = ["write_page"]

HERE = "pyraseg.pipeline.comparison.present"


def write_page(
    path: str | Path,
    comparison: Comparison,
    pictures: Sequence[SideBySide] = (),
    *,
    segments: Sequence[Segment] = (),
) -> Path:
    """Write the page: first what is better, then the evidence.

    Args:
        pictures: of the cases in which the arms differ most.
        segments: the classes, for the legend; the background is left out.

    Raises:
        OutputError: the file cannot be written.

    Example:
        >>> write_page(f"{folder}/comparison.html", comparison).name
        'comparison.html'
    """
    style = Markup(read_part(HERE, "comparison.css"))
    text = page_template(HERE, "comparison.html").render(
        comparison=comparison,
        style=style,
        style_hash=policy_hash(style),
        in_short=list(in_short(comparison)),
        verdicts=list(verdicts(comparison)),
        tables=sections(comparison),
        headings=HEADINGS,
        runs=sum(len(arm.runs) for arm in comparison.arms),
        legend=[(arm.name, legend_line(index)) for index, arm in enumerate(comparison.arms)],
        differences=list(difference_plots(comparison)),
        arms=list(arm_plots(comparison)),
        efficiency=efficiency_plot(comparison),
        efficiency_lead=lead(comparison.efficiency, split=comparison.split),
        efficiency_remarks=list(remarks(comparison.efficiency)),
        agreements=list(agreement_plots(comparison.agreements)),
        reliability=list(reliability_plots(comparison.calibrations)),
        pictures=pictures,
        segments=[segment for segment in segments if segment.value],
        over_frames=[picture.over_frame for picture in pictures],
    )
    with atomic_write(path, "w") as file:
        file.write(text)
    return Path(path)
