"""What is done with images: networks, training, evaluation, inference, results."""

import os

# Libraries report to their makers unless these say not to; what a user has set stands.
for _variable, _value in (
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ("DO_NOT_TRACK", "1"),
    ("ORT_DISABLE_TELEMETRY", "1"),  # ONNX Runtime's, from 1.29 on
):
    os.environ.setdefault(_variable, _value)
