"""Which of several trainings is better, by how much, and whether it is real: from the tables in their MLflow
runs."""

from __future__ import annotations

__all__: list[str] = []
