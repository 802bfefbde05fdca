"""Pass class counts and training progress to the model."""

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from ecl.datasets import count_classes, count_distinct
from ecl.datasets.class_names import check_same_classes, class_names
from ecl.errors import UserError
from ecl.models.losses import BalancedSoftmaxLoss
from ecl.registry import HOOKS
from ecl.settings import Range, validate_params
from ecl.shots import THRESHOLDS, shot_groups
from ecl.weights import bare_model

NAMED_CLASSES = 5


def tell(model: nn.Module, method: str, value: Any) -> None:
    """Call a method with a value, such as ``set_class_counts``, of every module that has it."""
    for module in model.modules():
        if callable(found := getattr(module, method, None)):
            found(value)


@HOOKS.register_module()
class ClassCountsHook(Hook):
    """Count the training images of each class and pass the counts on.

    Modules of the model with a method ``set_class_counts`` receive the images of an epoch before
    training, with the repetitions of dataset wrappers: they are the prior of a loss. Shot groups
    use the number of distinct images. These numbers are under ``class_counts`` in the message hub
    and under ``meta['class_counts']`` in checkpoints, so that an evaluation needs no training
    data. Metrics with a method ``set_class_counts`` receive them before each validation and test.

    The counts do not depend on the sampler. The hook warns if the sampler rebalances the classes
    and a BalancedSoftmaxLoss corrects for their counts too.

    Before each validation and test, the class names of the data are compared with those of the
    training data. Other names would change the meaning of the labels.

    Args:
        thresholds: ``(low, high)`` for the log line; see :func:`ecl.shots.shot_groups`.

    Raises:
        UserError: If the thresholds are crossed; before training, if ``model.head.num_classes`` is
            not the number of classes in the data, or a class has no training image; before a
            validation or test, if its data have other classes.

    Example:
        >>> default_hooks = dict(class_counts=dict(type='ClassCountsHook'))
    """

    # Before the hooks that need the counts.
    priority = 'HIGH'

    @validate_params(thresholds=Range(at_least=0))
    def __init__(self, thresholds: tuple[int, int] = THRESHOLDS) -> None:
        self.thresholds = thresholds
        self.class_counts: list[int] | None = None
        self.classes: Sequence[str] | None = None

    def before_train(self, runner: Runner) -> None:
        """Count, check and log the training data; pass the counts to model and message hub."""
        model = bare_model(runner.model)
        dataset = runner.train_dataloader.dataset
        shown, counts = count_classes(dataset), count_distinct(dataset)
        self.classes = class_names(dataset)
        _check_num_classes(model, len(counts))
        _check_no_class_empty(counts, self.classes)
        # Initial weights may come from other data, but a resumed training must use the same data.
        if runner.iter > 0 and self.class_counts not in (None, counts):
            runner.logger.warning(
                'The training data changed: the checkpoint was trained on '
                f'{sum(self.class_counts)} images in {len(self.class_counts)} classes, the '
                f'resumed training continues with {sum(counts)} images in {len(counts)} classes, '
                'or with other counts. The current data are used.'
            )
        self.class_counts = counts
        runner.logger.info(self._describe(counts, shown))
        runner.message_hub.update_info('class_counts', counts)
        tell(model, 'set_class_counts', shown)
        _warn_of_double_correction(runner, model)

    def before_val(self, runner: Runner) -> None:
        """Pass the counts to the metrics of the validation; check its classes."""
        self._inform(runner.val_evaluator, runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Pass the counts to the metrics of the test; check its classes."""
        self._inform(runner.test_evaluator, runner.test_dataloader.dataset)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the counts into the checkpoint."""
        checkpoint['meta']['class_counts'] = self.class_counts

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take counts and class names from a checkpoint that has them."""
        meta = checkpoint.get('meta', {})
        self.class_counts = meta.get('class_counts', self.class_counts)
        self.classes = (meta.get('dataset_meta') or {}).get('classes', self.classes)

    def _inform(self, evaluator: Evaluator, dataset: Any) -> None:
        check_same_classes(self.classes, class_names(dataset), type(dataset).__name__)
        for metric in evaluator.metrics:
            if self.class_counts is not None and hasattr(metric, 'set_class_counts'):
                metric.set_class_counts(self.class_counts)

    def _describe(self, counts: list[int], shown: list[int]) -> str:
        groups = ', '.join(
            f'{ids.size} {name}-shot' for name, ids in shot_groups(counts, self.thresholds).items()
        )
        repeated = (
            ''
            if shown == counts
            else f'; shown per epoch and counted by the losses: {sum(shown)} images, '
            f'{max(shown)} to {min(shown)} per class'
        )
        return (
            f'Training data: {sum(counts)} images in {len(counts)} classes, {max(counts)} to '
            f'{min(counts)} per class (imbalance factor {max(counts) / min(counts):.4g}); {groups}'
            + repeated
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
            f'{rebalancing[0]} changes the class frequencies, and BalancedSoftmaxLoss also '
            'corrects for the class frequencies of the data: few-shot classes are favoured twice. '
            'Set tau=0 in the loss, or use DefaultSampler.'
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


def require_epochs(runner: Runner, name: str) -> None:
    """Check that a training counts epochs, which ``name`` needs.

    Raises:
        UserError: If it does not.
    """
    if isinstance(runner.train_loop, IterBasedTrainLoop):
        raise UserError(
            f'train_cfg: got IterBasedTrainLoop, expected by_epoch=True: {name} changes with the '
            'epochs. Set train_cfg.by_epoch=True and train_cfg.max_epochs.'
        )


@HOOKS.register_module()
class TrainingProgressHook(Hook):
    """Pass the finished share of the training to every module with ``set_progress``.

    The share is the number of finished epochs over all epochs, in [0, 1). Modules receive it before
    each epoch. :class:`~ecl.models.losses.LDAMLoss` uses it to defer its class weights. A resumed
    training needs no state but its epoch.

    Raises:
        UserError: Before a training that counts no epochs, if a module needs the share.

    Example:
        >>> default_hooks = dict(training_progress=dict(type='TrainingProgressHook'))
    """

    def before_train(self, runner: Runner) -> None:
        """Check that epochs are counted where a module needs them."""
        for module in bare_model(runner.model).modules():
            if hasattr(module, 'set_progress') and not getattr(module, 'has_progress', False):
                require_epochs(runner, type(module).__name__)

    def before_train_epoch(self, runner: Runner) -> None:
        """Pass the share."""
        tell(bare_model(runner.model), 'set_progress', runner.epoch / runner.max_epochs)
