"""Loss and learning rate stand at their step, validation metrics at the trainer's epoch."""

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer

from pyraseg.pipeline.tracking.log import RunLog


class Log(RunLog):
    def __init__(self):
        super().__init__()
        self.logged = []

    def log_metrics(self, metrics, *, step):
        self.logged += [(name, step) for name in metrics]


def batches(count):
    return [{"image": torch.zeros(1, 1), "label": torch.zeros(1, 1)}] * count


def test_metrics_of_a_validation_stand_at_the_trainer_s_epoch_also_when_it_begins_in_the_middle():
    log, network, cpu = Log(), torch.nn.Linear(1, 1), torch.device("cpu")
    evaluator = SupervisedEvaluator(cpu, batches(1), network, decollate=False)
    evaluator.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: engine.state.metrics.update(val=1.0))
    trainer = SupervisedTrainer(
        cpu,
        3,
        batches(2),
        network,
        torch.optim.SGD(network.parameters()),
        torch.nn.MSELoss(),
        decollate=False,
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: evaluator.run(engine.state.epoch))
    log.attach(evaluator)
    log.attach(trainer)
    trainer.state.iteration, trainer.state.epoch = 2, 1  # resumed after the first epoch
    trainer.run()
    assert [step for name, step in log.logged if name == "loss"] == [3, 4, 5, 6]
    assert [step for name, step in log.logged if name == "learning_rate"] == [3, 4, 5, 6]
    assert [step for name, step in log.logged if name == "val"] == [2, 3]
    assert [step for name, step in log.logged if name == "train_loss"] == [2, 3]
