"""Loss, speed and time left: on a terminal as a bar, in a log as lines, with the validations counted in."""

from __future__ import annotations

import logging

import pytest
from monai.handlers import ValidationHandler

from pyraseg.pipeline.training import Progress
from pyraseg.pipeline.training.progress import time_left
from tests.pipeline.training.engines import constant, evaluator_scoring


def followed(progress: Progress, *, epochs: int = 2, interval: int = 1) -> None:
    evaluator = evaluator_scoring([0.25, 0.125], val_handlers=[progress])
    constant(
        2.0, epochs, train_handlers=[progress, ValidationHandler(interval, evaluator, epoch_level=True)]
    ).run()


def test_a_log_has_a_line_for_each_epoch_and_one_for_each_validation(caplog):
    with caplog.at_level(logging.INFO, logger="pyraseg.pipeline.training.progress"):
        followed(Progress())
    lines = [
        record.getMessage()
        for record in caplog.records
        if record.name == "pyraseg.pipeline.training.progress"
    ]
    assert len(lines) == 4
    assert lines[0].startswith("epoch 1/2: mean loss ")
    assert "images/s" in lines[0]
    assert lines[1] == "epoch 1/2: score 0.250 (the best so far)"
    assert lines[2].endswith("0:00:00 left")
    assert lines[3] == "epoch 2/2: score 0.125 (best 0.250, epoch 1)"


def test_a_terminal_shows_a_bar_with_loss_speed_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    followed(Progress())
    shown = capsys.readouterr().err
    assert "epoch 1/2" in shown
    assert "validating 1/1" in shown
    last = [text for text in shown.split("\r") if "images/s" in text][-1]
    assert "loss" in last
    assert "left" in last


def test_an_evaluation_alone_counts_its_cases(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    evaluator_scoring([0.5], val_handlers=[Progress()]).run()
    assert "evaluating" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("elapsed", "done", "remaining", "text"),
    [
        (30.0, 10, 100, "0:05:00"),
        (10.0, 10, 0, "0:00:00"),
        (7200.0, 2, 30, "1 day, 6:00:00"),
        (5.0, 0, 10, "?"),
    ],
)
def test_the_time_left_is_the_time_so_far_in_proportion(elapsed, done, remaining, text):
    assert time_left(elapsed, done=done, remaining=remaining) == text
