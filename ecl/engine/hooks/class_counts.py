"""Training counts of the classes: from the data to whoever asks."""

from collections.abc import Sequence

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ecl.datasets import count_classes
from ecl.errors import UserError
from ecl.models.losses import BalancedSoftmaxLoss
from ecl.registry import HOOKS
from ecl.shots import THRESHOLDS, check_thresholds, shot_groups

NAMED_CLASSES = 5


@HOOKS.register_module()
class ClassCountsHook(Hook):
    """Count the training images of each class and hand the counts on.

    Before training, the counts go to every module of the model that has a ``set_class_counts``
    method, and under the key ``class_counts`` to the message hub, where other hooks find them.
    Before every validation and test they go to the metrics that have such a method. Checkpoints
    carry them in ``meta['class_counts']``, as a list of ints, so an evaluation needs no training
    data.

    The counts are those of the data, whatever the sampler shows. Where the sampler rebalances the
    classes and a BalancedSoftmaxLoss corrects for their counts as well, the hook warns.

    Args:
        thresholds: ``(low, high)`` for the log line; see :func:`ecl.shots.shot_groups`.

    Raises:
        UserError: If the thresholds are crossed; before training, if ``model.head.num_classes`` is
            not the number of classes in the data, or a class has no training image.

    Example:
        >>> custom_hooks = [dict(type='ClassCountsHook')]
    """

    # Before the hooks that look the counts up.
    priority = 'HIGH'

    def __init__(self, thresholds: tuple[int, int] = THRESHOLDS) -> None:
        check_thresholds(self, thresholds)
        self.thresholds = thresholds
        self.class_counts: list[int] | None = None

    def before_train(self, runner: Runner) -> None:
        """Count, check and log the training data; hand the counts to model and message hub."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        dataset = runner.train_dataloader.dataset
        counts = count_classes(dataset)
        _check_num_classes(model, len(counts))
        _check_no_class_empty(counts, (getattr(dataset, 'metainfo', None) or {}).get('classes'))
        # Weights loaded for fine-tuning may come from other data; a resumed training may not.
        if runner.iter > 0 and self.class_counts not in (None, counts):
            runner.logger.warning(
                'The training data changed: the checkpoint was trained on '
                f'{sum(self.class_counts)} images in {len(self.class_counts)} classes, the '
                f'resumed training goes on with {sum(counts)} images in {len(counts)} classes, '
                'differently distributed. Counts follow the data of now.'
            )
        self.class_counts = counts
        runner.logger.info(self._describe(counts))
        runner.message_hub.update_info('class_counts', counts)
        for module in model.modules():
            if hasattr(module, 'set_class_counts'):
                module.set_class_counts(counts)
        _warn_of_double_correction(runner, model)

    def before_val(self, runner: Runner) -> None:
        """Hand the counts to the metrics of the validation."""
        self._inform(runner.val_evaluator)

    def before_test(self, runner: Runner) -> None:
        """Hand the counts to the metrics of the test."""
        self._inform(runner.test_evaluator)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the counts into the checkpoint."""
        checkpoint['meta']['class_counts'] = self.class_counts

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the counts out of a checkpoint, if it has any."""
        self.class_counts = checkpoint.get('meta', {}).get('class_counts', self.class_counts)

    def _inform(self, evaluator: Evaluator) -> None:
        for metric in evaluator.metrics:
            if self.class_counts is not None and hasattr(metric, 'set_class_counts'):
                metric.set_class_counts(self.class_counts)

    def _describe(self, counts: list[int]) -> str:
        groups = ', '.join(
            f'{ids.size} {name}-shot' for name, ids in shot_groups(counts, self.thresholds).items()
        )
        return (
            f'Training data: {sum(counts)} images in {len(counts)} classes, {max(counts)} to '
            f'{min(counts)} a class (imbalance factor {max(counts) / min(counts):.4g}); {groups}'
        )


def _check_num_classes(model: nn.Module, num_classes: int) -> None:
    expected = getattr(getattr(model, 'head', None), 'num_classes', num_classes)
    if expected != num_classes:
        raise UserError(
            f'model.head.num_classes is {expected}, but the training data has {num_classes} '
            f'classes; set model.head.num_classes={num_classes} or correct the data'
        )


def _warn_of_double_correction(runner: Runner, model: nn.Module) -> None:
    batches = runner.train_dataloader.batch_sampler
    samplers = (batches, getattr(batches, 'sampler', None))
    rebalancing = [type(s).__name__ for s in samplers if getattr(s, 'rebalances', False)]
    corrects = any(isinstance(m, BalancedSoftmaxLoss) and m.tau for m in model.modules())
    if rebalancing and corrects:
        runner.logger.warning(
            f'{rebalancing[0]} shows the classes in other shares than the data have, and '
            'BalancedSoftmaxLoss corrects for the shares of the data as well: few-shot classes are '
            'favoured twice. Set tau=0 in the loss, or take DefaultSampler.'
        )


def _check_no_class_empty(counts: list[int], names: Sequence[str] | None) -> None:
    empty = [index for index, count in enumerate(counts) if count == 0]
    if not empty:
        return
    shown = [
        f"{index} '{names[index]}'" if names else str(index) for index in empty[:NAMED_CLASSES]
    ]
    if len(empty) > NAMED_CLASSES:
        shown.append(f'{len(empty) - NAMED_CLASSES} more')
    raise UserError(
        f'no training image of class {", ".join(shown)}: add images to train_dataloader.dataset, '
        'or take the class out of it and lower model.head.num_classes'
    )
