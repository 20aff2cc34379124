"""MLflow tracking of one run: what was run, on what, what came of it, and a true final status.

MONAI's ``MLFlowHandler`` joins any unfinished run when it has no run name, leaves a crashed run RUNNING and
stops the training with the server; here every run is its own, ends FINISHED, FAILED or KILLED, can be
resumed, and loses nothing to an absent server. Nothing identifying is sent: no path, no name; cases go by
their hash.
"""

from __future__ import annotations

from pyraseg.pipeline.tracking.parameters import safe_parameters, split_record
from pyraseg.pipeline.tracking.store import default_tracking_uri
from pyraseg.pipeline.tracking.tracker import RunTracker

__all__ = ["RunTracker", "default_tracking_uri", "safe_parameters", "split_record"]
