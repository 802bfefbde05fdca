"""How far the training is: from the runner to whoever asks."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ecl.registry import HOOKS


@HOOKS.register_module()
class TrainingProgressHook(Hook):
    """Tell the modules of the model which share of the training is done.

    Before each epoch, every module that has a ``set_progress`` method receives the finished epochs
    over all epochs, in [0, 1). What follows from it is the module's own affair, such as the
    deferred weights of :class:`~ecl.models.losses.LDAMLoss`; a resumed training needs no more
    state than its epoch.

    Example:
        >>> custom_hooks = [dict(type='TrainingProgressHook')]
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Pass the progress on."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for module in model.modules():
            if hasattr(module, 'set_progress'):
                module.set_progress(runner.epoch / runner.max_epochs)
