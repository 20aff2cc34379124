"""Scores per case and class on the source grid, their summary over groups and frames, and their files."""

from __future__ import annotations

from pyraseg.pipeline.evaluation.bootstrap import estimate
from pyraseg.pipeline.evaluation.calibration import count_confidence
from pyraseg.pipeline.evaluation.lesions import compare_lesions
from pyraseg.pipeline.evaluation.metric import SegmentationScores
from pyraseg.pipeline.evaluation.overlay_sheet import OverlayGrid
from pyraseg.pipeline.evaluation.result_files import CaseResults, evaluate, write_results
from pyraseg.pipeline.evaluation.scores import CaseScore, score_case
from pyraseg.pipeline.evaluation.summary import Results
from pyraseg.pipeline.evaluation.surfaces import surface_scores
