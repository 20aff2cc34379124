"""Write ``evaluation.html``: the rates, the curves and the pictures of an evaluation in one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pyraseg.pipeline.evaluation.bootstrap import rate_in_words
from pyraseg.pipeline.evaluation.summary import Results
from pyraseg.pipeline.inference.decision import point_in_words
from pyraseg.pipeline.utils.files import atomic_write
from pyraseg.pipeline.writers.pages import data_uri, page_template, policy_hash, read_part

__all__ = ["write_page"]

HERE, STYLE = "pyraseg.pipeline.evaluation", "pyraseg.pipeline.writers.report"
WIDEST = 1400  # of a picture, in pixels of the page
PICTURES = {
    "operating_curve.png": (
        "Missed against false",
        "Each dot: the best trade at a probability threshold and a smallest size (docs/trust.md).",
    ),
    "overlays.png": ("Cases", "Filled: prediction; dashed: reference."),
    "warnings.png": (
        "Wrong results that the warning catches",
        "The share of the wrong ones found, over the share of all that is looked at (docs/trust.md).",
    ),
    "reliability.png": ("Calibration of the probabilities", "Of the network, before any clean-up."),
}
FILES = {
    "cases.csv": "a row for each case and class",
    "summary.json": "all means and intervals",
    "quantities.csv": "clinical quantities, predicted and of the reference",
    "lesions.csv": "a row for each lesion",
    "confidence.csv": "pixels by confidence",
    "operating_curve.csv": "what is missed and false by group, at each threshold and smallest size",
    "predictions.npz": "the label maps by case",
}


def write_page(folder: Path, results: Results, *, report: str, weights: str) -> Path:
    """Write the page into the folder of an evaluation, with the pictures that lie there.

    Args:
        report: all numbers as text.
        weights: SHA-256 of the checkpoint, or of each member.

    Raises:
        OutputError: the file cannot be written.
    """
    style = Markup(read_part(STYLE, "report.css"))
    text = page_template(HERE, "evaluation.html").render(
        results=results,
        cases=len({score.case for score in results.scores}),
        weights=", ".join(digest[:12] for digest in weights.split()),
        rows=[row for name, found in results.operating.items() for row in _rows(name, found)],
        pictures=list(_pictures(folder)),
        report=report,
        files=[(name, what) for name, what in FILES.items() if (folder / name).is_file()],
        style=style,
        style_hash=policy_hash(style),
    )
    path = folder / "evaluation.html"
    with atomic_write(path, "w") as file:
        file.write(text)
    return path


def _rows(label: str, found: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The rates as delivered and, where they are others, by the plain argmax."""
    false = "false_lesions" if found["unit"] == "ml" else "false_alarms"
    names = {"missed": "missed", "false": false, "dice": "dice"}
    point = point_in_words(found["threshold"], found["smallest"], unit=found["unit"])
    decided = {"rates": f"as delivered: {point}", "argmax": "by the argmax"}
    for key in ("rates",) if found["rates"] == found["argmax"] else decided:
        yield {"label": label, "decided": decided[key]} | {
            k: _rate(found[key].get(n)) for k, n in names.items()
        }


def _rate(rate: Mapping[str, Any] | None) -> str:
    return "no case" if rate is None else f"{rate_in_words(rate)}; {rate['cases']} of {rate['groups']} groups"


def _pictures(folder: Path) -> Iterator[dict[str, Any]]:
    for name, (title, hint) in PICTURES.items():
        if (folder / name).is_file():
            content = (folder / name).read_bytes()
            width = min(WIDEST, int.from_bytes(content[16:20]))  # of a PNG's first chunk
            yield {"title": title, "hint": hint, "uri": data_uri(content), "width": width}
