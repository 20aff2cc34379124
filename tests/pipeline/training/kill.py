"""A handler that no training can guard against."""

from __future__ import annotations

import os
import signal

from ignite.engine import Engine, Events


class KillAt:
    """Send this process SIGKILL when the trainer begins step ``step``."""

    def __init__(self, step: int) -> None:
        self.step = step

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(
            Events.ITERATION_STARTED(once=self.step), os.kill, os.getpid(), signal.SIGKILL
        )
