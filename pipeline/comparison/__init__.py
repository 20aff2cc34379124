"""Compare trainings by the tables of their MLflow runs: which is better, by how much, and is it real."""

from __future__ import annotations

from pyraseg.pipeline.comparison.compare import compare
from pyraseg.pipeline.comparison.present.files import write_csv, write_markdown
from pyraseg.pipeline.comparison.present.page import write_page
from pyraseg.pipeline.comparison.present.wording import verdicts
from pyraseg.pipeline.comparison.read.find_runs import read_runs
from pyraseg.pipeline.comparison.read.runs import Run
from pyraseg.pipeline.comparison.statistics.results import Comparison
