"""Writing ``comparison.html``: one file, which opens in a browser without a network and runs no script."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pyraseg.pipeline.comparison.present.efficiency_plot import efficiency_plot
from pyraseg.pipeline.comparison.present.efficiency_text import lead, remarks
from pyraseg.pipeline.comparison.present.files import HEADINGS
from pyraseg.pipeline.comparison.present.pictures import SideBySide
from pyraseg.pipeline.comparison.present.plots import (
    agreement_plots,
    arm_plots,
    difference_plots,
    reliability_plots,
)
from pyraseg.pipeline.comparison.present.sections import sections
from pyraseg.pipeline.comparison.present.svg import arm_class
from pyraseg.pipeline.comparison.present.wording import verdicts
from pyraseg.pipeline.comparison.statistics.results import Comparison
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.report.rows import data_uri
from pyraseg.pipeline.writers.tables.text import clean
from pyraseg.transforms.records import Segment

__all__ = ["write_page"]


def write_page(
    path: str | Path,
    comparison: Comparison,
    pictures: Sequence[SideBySide] = (),
    *,
    segments: Sequence[Segment] = (),
) -> Path:
    """Write the page: what is better, then why one may think so.

    Args:
        pictures: of the cases in which the arms differ most.
        segments: the classes, for their legend; the background is left out.

    Raises:
        OutputError: the file cannot be written.
    """
    style = Markup(_file("comparison.css"))
    text = _template().render(
        comparison=comparison,
        style=style,
        style_hash=f"sha256-{b64encode(sha256(style.encode()).digest()).decode('ascii')}",
        verdicts=list(verdicts(comparison)),
        tables=sections(comparison),
        headings=HEADINGS,
        runs=sum(len(arm.runs) for arm in comparison.arms),
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


def _template() -> Any:
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters |= {"any": any, "all": all}
    environment.filters["arm_class"] = arm_class
    environment.filters["clean"] = lambda value: clean(str(value))
    environment.filters["data_uri"] = data_uri
    return environment.from_string(_file("comparison.html"))


def _file(name: str) -> str:
    return files("pyraseg.pipeline.comparison.present").joinpath(name).read_text(encoding="utf-8")
