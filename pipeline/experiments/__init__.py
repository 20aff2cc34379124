"""Many MONAI trainings and evaluations under one MLflow run: cross-validation and ablation.

An experiment is planned and checked first, then run step by step, as ``pyraseg crossval`` and ``pyraseg
ablation`` do::

    plan = plan_cross_validation("bundles/us_hydronephrosis", "DATA", output="CV")
    for line in run_experiment(plan, resume=True):
        print(line)
"""

from pyraseg.pipeline.experiments.ablation import Ablation, plan_ablation
from pyraseg.pipeline.experiments.cross_validation import CrossValidation, plan_cross_validation
from pyraseg.pipeline.experiments.grid import Arm, read_grid
from pyraseg.pipeline.experiments.running import run_experiment

__all__ = [
    "Ablation",
    "Arm",
    "CrossValidation",
    "plan_ablation",
    "plan_cross_validation",
    "read_grid",
    "run_experiment",
]
