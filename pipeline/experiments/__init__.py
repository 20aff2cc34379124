"""Many MONAI trainings and evaluations under one MLflow run: cross-validation and ablation.

An experiment is planned and checked first, then run step by step, as ``pyraseg crossval`` and ``pyraseg
ablation`` do::

    experiment = CrossValidation("bundles/us_hydronephrosis", "DATA", output="CV")
    for line in run_experiment(experiment):
        print(line)
"""

from pyraseg.pipeline.experiments.ablation import Ablation
from pyraseg.pipeline.experiments.cross_validation import CrossValidation
from pyraseg.pipeline.experiments.grid import Arm, read_grid
from pyraseg.pipeline.experiments.running import run_experiment
