"""Adjust classifiers after training; the strength is never chosen on test images."""

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import BaseClassifier
from torch.utils.data import DataLoader, SequentialSampler, Subset

from ecl.datasets import gt_labels
from ecl.datasets.in_memory import without_transforms
from ecl.datasets.samplers import members_by_class
from ecl.engine.resume.processes import of_main_process
from ecl.engine.resume.rank_state import seed_generators
from ecl.errors import UserError
from ecl.models.adjustment import ADJUSTMENTS, adjust, choose_tau, linear_classifiers
from ecl.registry import DATASETS, HOOKS
from ecl.settings import Number, OneOf, SettingError
from ecl.weights import bare_model

#: Largest number of training images for choosing a strength.
TRAINING_IMAGES = 20_000
#: File of the adjusted model in the work dir.
ADJUSTED = 'adjusted.pth'


def adjust_model(
    model: BaseClassifier,
    cfg: Config,
    method: str,
    tau: float | str,
    class_counts: list[int] | None,
) -> dict[str, Any]:
    """Adjust a model in place and return what was done.

    With ``tau='auto'`` the strength is chosen on the validation data if they differ from the test
    data. Otherwise it is chosen on augmented training images, the same number of each class if
    there are enough. Every class has the same weight.

    Args:
        model: A trained model, without wrapper.
        cfg: Its configuration.
        method: Key of :data:`~ecl.models.adjustment.ADJUSTMENTS`.
        tau: Strength, or ``'auto'``.
        class_counts: Training images of each class, length C, or None.

    Returns:
        ``method``, ``tau`` and ``chosen_on``: 'given', 'validation data' or 'training images'. A
        chosen tau also has ``images``, their number, and ``balanced_cross_entropy`` on them, by
        tau.

    Raises:
        UserError: If the model cannot be adjusted, or there are no data to choose tau on.
    """
    summary: dict[str, Any] = {'method': method, 'chosen_on': 'given'}
    check_adjustment(method, tau)
    if isinstance(tau, str):
        loader, chosen_on = selection_data(cfg)
        on_training = chosen_on == 'training images'
        choice = choose_tau(model, loader, method, class_counts, augment=on_training)
        # Data workers of other processes may have drawn other views.
        tau = of_main_process(choice.tau)
        summary['chosen_on'] = chosen_on
        summary['images'] = choice.images
        summary['balanced_cross_entropy'] = {str(key): v for key, v in choice.losses.items()}
    adjust(model, method, tau, class_counts)
    return {**summary, 'tau': tau}


def check_adjustment(method: str, tau: Any, owner: object = 'adjust_model') -> None:
    """Check method and strength of an adjustment.

    Args:
        method: Key of :data:`~ecl.models.adjustment.ADJUSTMENTS`, to which a module of
            ``custom_imports`` may have added.
        tau: Strength, or ``'auto'``.
        owner: The object that has both, or the name of the function, for the error.

    Raises:
        UserError: If there is no such method, or ``tau`` is neither finite nor ``'auto'``.
    """
    allowed = OneOf(*ADJUSTMENTS)
    if not allowed.admits(method):
        raise SettingError(owner, 'method', method, str(allowed))
    if tau != 'auto' and not Number().admits(tau):
        raise SettingError(owner, 'tau', tau, "a finite number or 'auto'")


def selection_data(cfg: Config) -> tuple[DataLoader, str]:
    """Build the loader of the images for the choice of a strength.

    Args:
        cfg: A configuration.

    Returns:
        The loader, and 'validation data' or 'training images'.

    Raises:
        UserError: If there are neither.
    """
    val, training = (cfg.get(f'{name}_dataloader') for name in ('val', 'train'))
    with DefaultScope.overwrite_default_scope('ecl'):
        if not validates_on_test(cfg):
            dataset: Any = DATASETS.build(val.dataset)
            source, loader = 'validation data', val
        elif training:
            dataset = DATASETS.build(training.dataset)
            dataset = Subset(dataset, balanced_subset(gt_labels(dataset), TRAINING_IMAGES))
            source, loader = 'training images', training
        else:
            raise UserError(
                'tau cannot be chosen: got no validation data of its own and no train_dataloader, '
                'expected one of them. Give a number.'
            )
        seed_generators(0)
        given = {key: loader[key] for key in ('num_workers', 'collate_fn') if key in loader}
        return Runner.build_dataloader(
            ConfigDict(
                **given,
                batch_size=(val or loader).get('batch_size', 1),
                dataset=dataset,
                # Every process looks at all images.
                sampler=SequentialSampler(dataset),
            ),
            seed=0,
        ), source


def balanced_subset(labels: np.ndarray, largest: int) -> list[int]:
    """Draw at most ``largest // C`` images of each of the C classes, always the same ones.

    Args:
        labels: Labels (N,).
        largest: Largest number of images, at least C.

    Returns:
        Indices of the images, in ascending order.
    """
    members = members_by_class(labels)
    share = max(1, largest // len(members))
    rng = np.random.default_rng(0)
    return sorted(index for each in members for index in rng.permutation(each)[:share].tolist())


def validates_on_test(cfg: Config) -> bool:
    """Return whether validation and test data are the same, or one of them is missing."""
    val, test = (cfg.get(f'{name}_dataloader') for name in ('val', 'test'))
    if not val or not test:
        return True
    return bool(without_transforms(val.dataset) == without_transforms(test.dataset))


@HOOKS.register_module()
class AdjustmentHook(Hook):
    """Adjust the classifiers when the training ends, and validate again.

    The record has the metrics of the adjusted model. Its key ``adjustment`` has the result of
    :func:`adjust_model` and the metrics before the adjustment. ``adjusted.pth`` in the work dir
    holds the adjusted model. The other checkpoints are not adjusted.

    Args:
        method: ``'tau-norm'``, ``'logit-adjustment'`` or another key of
            :data:`~ecl.models.adjustment.ADJUSTMENTS`.
        tau: Strength, or ``'auto'``.

    Raises:
        UserError: If there is no such method, or tau is neither a number nor ``'auto'``. Before the
            training, if EMAHook is also used, or a classifier lacks the bias that logit adjustment
            changes. At its end, if the model cannot be adjusted.

    Example:
        >>> default_hooks = dict(adjustment=dict(type='AdjustmentHook', method='tau-norm'))
    """

    # After the last checkpoint, before the record.
    priority = 'VERY_LOW'

    def __init__(self, method: str, tau: float | str = 'auto') -> None:
        check_adjustment(method, tau, self)
        self.method = method
        self.tau = tau
        self._metrics: dict[str, float] = {}

    def before_train(self, runner: Runner) -> None:
        """Check that the adjusted weights will fit the configuration, and will be used."""
        runner.message_hub.pop_info('adjustment', None)
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise UserError(
                'AdjustmentHook: got EMAHook too, whose averaged weights it would not adjust. '
                'Remove one of them, or adjust later by ecl test --adjust.'
            )
        if self.method == 'logit-adjustment':
            head: Any = bare_model(runner.model).head
            if any(classifier.bias is None for classifier in linear_classifiers(head)):
                raise UserError(
                    'AdjustmentHook: logit-adjustment changes the bias: got a classifier without '
                    'one. Set model.head.classifier.bias=True, or add one to that of the '
                    'aggregator.'
                )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Keep the metrics before the adjustment."""
        self._metrics = {key: float(value) for key, value in (metrics or {}).items()}

    def after_train(self, runner: Runner) -> None:
        """Adjust, save and validate."""
        if not self._metrics and runner.val_loop is not None:  # resumed after its end
            runner.val_loop.run()
        before = self._metrics
        counts = runner.message_hub.get_info('class_counts')
        summary = adjust_model(bare_model(runner.model), runner.cfg, self.method, self.tau, counts)
        path = Path(runner.work_dir, ADJUSTED)
        runner.logger.info(f'{describe(summary)}. The adjusted model, to predict with: {path}')
        runner.message_hub.update_info('adjustment', {**summary, 'unadjusted': before})
        runner.save_checkpoint(
            runner.work_dir,
            ADJUSTED,
            save_optimizer=False,
            save_param_scheduler=False,
            meta={'epoch': runner.epoch, 'iter': runner.iter},
            backend_args={'backend': 'atomic'},
        )
        if runner.val_loop is not None:
            runner.val_loop.run()


def describe(summary: dict[str, Any]) -> str:
    """Describe in one line the result of :func:`adjust_model`."""
    images = f', {summary["images"]} images' if 'images' in summary else ''
    return f'{summary["method"]} with tau {summary["tau"]:g} ({summary["chosen_on"]}{images})'
