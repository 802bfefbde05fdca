"""Second stage of a training: train some parameters and freeze all others."""

import copy
import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from ecl.engine.methods.class_counts import require_epochs, tell
from ecl.engine.resume.rank_state import seed_generators
from ecl.errors import UserError
from ecl.registry import DATA_SAMPLERS, HOOKS
from ecl.settings import Number, validate_params
from ecl.weights import bare_model

#: Classifiers of ECLHead, and of the heads of MMPretrain.
CLASSIFIERS = ('head.*classifiers.*', 'head.fc.*', 'head.layers.head.*')
#: Last number of the seed entropy of the new classifiers; see :mod:`ecl.engine.resume.rank_state`.
_RESET = 2


def first_epoch(begin: float, max_epochs: int) -> int:
    """Return the first epoch of the second stage, counted from 0.

    Args:
        begin: Share of the epochs before it, at least 0 and below 1.
        max_epochs: Epochs of the training.
    """
    return min(round(begin * max_epochs), max_epochs - 1)


@HOOKS.register_module()
class SecondStageHook(Hook):
    """Begin a second stage after a share of the epochs (decoupling) [lineage].

    Kang et al., ICLR 2020 (arXiv 1910.09217), sections 4.1 to 4.3: features are learnt first, then
    the classifier on frozen features.

    - The parameters of ``train`` are trained. All others are frozen: no gradient, no weight decay,
      no momentum. Modules without a trained parameter stay in evaluation mode, so the statistics
      of their norm layers stay too.
    - With ``reset`` the trained parameters are initialised again.
    - Optimizer and learning rate start again.
    - Modules with a method ``set_stage`` receive 2, such as :class:`~ecl.models.TwoStageLoss`.

    Both stages are one training: one config, one record, and checkpoints that resume in either
    stage. The record has the last validation of the first stage under ``first_stage``. To start
    from a trained model, set ``begin=0`` and ``load_from``.

    Args:
        begin: Share of the epochs after which the second stage begins, at least 0 and below 1. 0:
            the whole training is the second stage.
        train: Patterns of the parameters to train, with ``*`` for any text.
        reset: Initialise the trained parameters again.
        sampler: Config of a sampler for the second stage. None keeps the sampler.
        optimizer: Values that replace those of ``optim_wrapper.optimizer``, such as ``lr``.
        param_scheduler: Learning rate of the second stage, whose epochs are counted from 0. None
            keeps it constant.
        max_norm: Largest norm of the weights of a class, clipped after each step (MaxNorm)
            [lineage: Alshammari et al., CVPR 2022, arXiv 2203.14197, section 4.2]. The limit is
            min + max_norm * (max - min) of these norms at the start of the stage, as in their code.
            None clips nothing.

    Raises:
        UserError: If an argument is out of range. Before training, if a pattern matches no
            parameter, or the model has a contrastive branch. At the start of the stage, if the
            sampler gives another number of steps.

    Example:
        >>> default_hooks = dict(second_stage=dict(
        ...     type='SecondStageHook', begin=0.9, reset=True,
        ...     sampler=dict(type='ClassAwareSampler'),
        ...     param_scheduler=dict(type='CosineAnnealingLR', convert_to_iter_based=True)))
    """

    # Before the hooks that seed the sampler and that read the schedule.
    priority = 'HIGH'

    @validate_params(begin=Number(at_least=0, below=1))
    def __init__(
        self,
        begin: float,
        train: Sequence[str] = CLASSIFIERS,
        reset: bool = False,
        sampler: dict | None = None,
        optimizer: dict | None = None,
        param_scheduler: dict | list[dict] | None = None,
        max_norm: float | None = None,
    ) -> None:
        if max_norm is not None and not max_norm >= 0:
            raise UserError(
                f'SecondStageHook.max_norm: got {max_norm}, expected a number of at least 0, or inf'
            )
        self.begin = begin
        self.train = tuple(train)
        self.reset = reset
        self.sampler = sampler
        self.optimizer = optimizer or {}
        self.param_scheduler = param_scheduler
        self.max_norm = max_norm
        self.stage = 1
        self._training = False
        self._frozen: list[nn.Module] = []
        self._radii: dict[str, float] = {}

    def before_train(self, runner: Runner) -> None:
        """Check that the model supports a second stage."""
        require_epochs(runner, 'SecondStageHook')
        self._training = True
        model = bare_model(runner.model)
        trained = self._trained(model)
        reading: Any = getattr(getattr(model, 'head', None), 'reading', None)
        if any('distill_classifiers' in name for name in trained) and not reading.labels_teach_aux:
            raise UserError(
                'model.head.reading does not support a second stage: got distill classifiers that '
                "no label supervises, expected 'shared_labels' or 'single', or "
                "SecondStageHook.train=['head.label_classifiers.*']"
            )
        if getattr(model, 'contrast', None) is not None:
            raise UserError(
                'model.contrast cannot be used in a second stage: it trains the features. Train '
                'with it first, then set load_from to that checkpoint, model.contrast=None and '
                'default_hooks.second_stage.begin=0.'
            )
        if self._first_epoch(runner) == 0 and not runner._load_from:
            runner.logger.warning(
                'The second stage starts from random features: begin=0 and load_from is not set.'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin the second stage, if this is its first epoch."""
        if self.stage == 1 and runner.epoch >= self._first_epoch(runner):
            self._start(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Put the frozen modules into evaluation mode, because each epoch sets training mode."""
        for module in self._frozen:
            if module.training:
                module.eval()

    @torch.no_grad()
    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Clip the norms of the classes."""
        if self._radii:
            parameters = dict(bare_model(runner.model).named_parameters())
            for name, radius in self._radii.items():
                parameters[name].renorm_(2, 0, radius)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Keep the last validation of the first stage for the record."""
        if self._training and self.stage == 1:
            values = {key: float(value) for key, value in (metrics or {}).items()}
            runner.message_hub.update_info(
                'first_stage', {'epochs': runner.epoch, 'metrics': values}
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Save the stage and the largest norms."""
        checkpoint['meta']['second_stage'] = {'stage': self.stage, 'radii': dict(self._radii)}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Continue the second stage, if this is a resume of it."""
        saved = checkpoint['meta'].get('second_stage')
        if runner._resume and saved is not None and saved['stage'] == 2:
            self._enter(runner)
            self._radii = dict(saved['radii'])
            runner.param_schedulers = self._schedule(runner)  # the runner loads its state

    def _first_epoch(self, runner: Runner) -> int:
        return first_epoch(self.begin, runner.max_epochs)

    def _trained(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the parameters to train by name."""
        named = dict(model.named_parameters())
        found = {
            name: parameter
            for name, parameter in named.items()
            if any(fnmatchcase(name, pattern) for pattern in self.train)
        }
        if not found:
            raise UserError(
                f'SecondStageHook.train: no parameter matches {list(self.train)}, expected names '
                f'such as {list(named)[-1]}'
            )
        return found

    def _start(self, runner: Runner) -> None:
        """Initialise the trained parameters and the optimizer, and begin the stage."""
        model = bare_model(runner.model)
        trained = self._trained(model)
        if self.reset:
            seed_generators(runner.seed, runner.epoch, _RESET)
            _reset(model, trained)
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.ema_model.steps.zero_()  # the next update copies the new weights
        self._enter(runner)
        runner.param_schedulers = []  # MMEngine does not scale learning rates that have a schedule
        self._restart_optimizer(runner)
        runner.param_schedulers = self._schedule(runner)
        if self.max_norm is not None and not math.isinf(self.max_norm):
            self._radii = {
                name: _radius(parameter, self.max_norm)
                for name, parameter in trained.items()
                if parameter.ndim > 1
            }
        runner._maybe_compile('train_step')
        count = sum(parameter.numel() for parameter in trained.values())
        runner.logger.info(
            f'Second stage: epochs {runner.epoch + 1} to {runner.max_epochs}, {len(trained)} '
            f'tensors ({count} parameters) are trained, the others are frozen'
        )

    def _enter(self, runner: Runner) -> None:
        """Freeze parameters and modules; replace losses, sampler and schedule."""
        self.stage = 2
        model = bare_model(runner.model)
        trained = self._trained(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in trained)
            parameter.grad = None
        tell(model, 'set_stage', 2)
        if is_model_wrapper(runner.model):
            # The wrapper would wait for the gradients of the frozen parameters.
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)
        self._frozen = list(_frozen_modules(model))  # the wrapper may replace norm layers
        if self.sampler is not None:
            _exchange_sampler(runner, self.sampler)

    def _restart_optimizer(self, runner: Runner) -> None:
        """Reset momentum and learning rate. The optimizer object is kept, because hooks hold it."""
        cfg = copy.deepcopy(runner.cfg.optim_wrapper)
        cfg.optimizer.update(self.optimizer)
        fresh = runner.build_optim_wrapper(cfg)
        runner.scale_lr(fresh, runner.auto_scale_lr)
        wrapper = runner.optim_wrapper
        wrapper.optimizer.state.clear()
        for group, new in zip(wrapper.param_groups, fresh.param_groups, strict=True):
            group.pop('initial_lr', None)
            group.update({key: value for key, value in new.items() if key != 'params'})
        wrapper.initialize_count_status(runner.model, runner.iter, runner.max_iters)

    def _schedule(self, runner: Runner) -> list[Any]:
        """Build the schedulers of the stage, which end with it."""
        given = self.param_scheduler or []
        configs = given if isinstance(given, Sequence) else [given]
        epochs = runner.max_epochs - self._first_epoch(runner)
        steps = epochs * len(runner.train_dataloader)
        return runner.build_param_scheduler(
            [{'end': epochs if cfg.get('by_epoch', True) else steps, **cfg} for cfg in configs]
        )


def _radius(weight: Tensor, place: float) -> float:
    norms = weight.detach().flatten(1).norm(dim=1)
    return float(norms.min() + place * (norms.max() - norms.min()))


def _reset(model: nn.Module, trained: dict[str, nn.Parameter]) -> None:
    """Initialise the modules that own the parameters, in the order of the model."""
    for name, module in model.named_modules():
        own = [
            f'{name}.{key}' if name else key for key, _ in module.named_parameters(recurse=False)
        ]
        if not trained.keys() & own:
            continue
        if not trained.keys() >= set(own) or not hasattr(module, 'reset_parameters'):
            raise UserError(
                f'SecondStageHook.reset: cannot initialise {name} again: got '
                f'{type(module).__name__}, expected a module with reset_parameters() whose '
                'parameters are all trained'
            )
        module.reset_parameters()


def _frozen_modules(module: nn.Module) -> list[nn.Module]:
    """Return the largest modules with parameters, none of which is trained."""
    parameters = list(module.parameters())
    if not parameters:
        return []
    if not any(parameter.requires_grad for parameter in parameters):
        return [module]
    return [found for child in module.children() for found in _frozen_modules(child)]


def _exchange_sampler(runner: Runner, cfg: dict) -> None:
    loader = runner.train_dataloader
    batches = loader.batch_sampler
    batches = getattr(batches, 'batches', batches)  # StepSeedHook wraps them
    steps = len(loader)
    sampler = DATA_SAMPLERS.build(cfg, default_args=dict(dataset=loader.dataset, seed=runner.seed))
    batches.sampler = sampler
    # DataLoader refuses a plain assignment because iterators may exist. None runs here.
    object.__setattr__(loader, 'sampler', sampler)
    if len(loader) != steps:
        raise UserError(
            f'SecondStageHook.sampler: got {len(loader)} steps per epoch, expected {steps} as in '
            'the first stage. Remove num_samples.'
        )
