"""From a MLflow store to the runs to compare."""
