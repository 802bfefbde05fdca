"""Pass the progress of the training to the modules of the model."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ecl.registry import HOOKS
from ecl.weights import bare_model


@HOOKS.register_module()
class TrainingProgressHook(Hook):
    """Pass the share of the training that is done to every module with ``set_progress``.

    The share is the number of finished epochs over all epochs, in [0, 1). Modules receive it before
    each epoch. :class:`~ecl.models.losses.LDAMLoss` defers its class weights by it. A resumed
    training needs no state but its epoch.

    Example:
        >>> default_hooks = dict(training_progress=dict(type='TrainingProgressHook'))
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Pass the share."""
        for module in bare_model(runner.model).modules():
            if callable(set_progress := getattr(module, 'set_progress', None)):
                set_progress(runner.epoch / runner.max_epochs)
