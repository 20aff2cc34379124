"""Many MONAI trainings and evaluations under one MLflow run: cross-validation and ablation."""
