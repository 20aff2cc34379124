"""MLflow tracking of one run: its code, its machine, its metrics and its true final status.

Without a run name, MONAI's ``MLFlowHandler`` joins any unfinished run; it leaves a crashed run RUNNING and
stops the training when the server fails. Here every training is one run that ends FINISHED, FAILED or KILLED,
can be resumed, and loses nothing while the server is away. It sends no path and no name, and cases by their
hash.
"""

from __future__ import annotations

from mlflow.telemetry import set_telemetry_client

from pyraseg.pipeline.tracking.split import split_record
from pyraseg.pipeline.tracking.store import default_experiment, default_tracking_uri
from pyraseg.pipeline.tracking.tracker import RunTracker

set_telemetry_client()  # `pyraseg.pipeline` has switched it off, and MONAI may have imported MLflow before
