"""A class that no image of the first epoch shows is named, once."""

from __future__ import annotations

from pyraseg.pipeline.training.classes_seen import ClassesSeen
from tests.pipeline.training.engines import constant


def test_a_class_that_the_first_epoch_never_shows_is_named_once(caplog):
    trainer = constant(1.0, 2, shape=(1, 2, 1))
    ClassesSeen(["background", "kidney", "fluid"]).attach(trainer)
    trainer.data_loader.dataset.data[1]["label"][:, 0, 0] = 1
    trainer.run()
    assert [record.getMessage() for record in caplog.records if "first epoch" in record.getMessage()] == [
        "no image of the first epoch shows fluid: it cannot be learnt"
    ]
