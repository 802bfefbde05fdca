"""Record the weights that losses give to images."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ecl.engine.resume.atomic_file import atomic_write, warn_on_write_error
from ecl.errors import UserError
from ecl.models.losses import ImageWeighting
from ecl.models.outputs import target_distribution
from ecl.registry import HOOKS
from ecl.settings import Range, Whole, validate_params
from ecl.shots import THRESHOLDS, shot_groups
from ecl.visualization import weight_heatmap
from ecl.weights import bare_model

ARRAYS = 'distill_weights.npz'
PICTURE = 'distill_weights.png'


@HOOKS.register_module()
class DistillWeightHook(Hook):
    """Record the mean distillation weight of each class in each epoch.

    It watches every :class:`~ecl.models.losses.ImageWeighting` of the model and keeps, for each
    expert and class, the mean weight over the images of the epoch so far, on all processes:

    - Scalars in the log and TensorBoard, every ``interval`` steps and at the end of an epoch:
      ``distill_weight/many``, ``/medium`` and ``/few``, the mean over experts and images of the
      group. A group without an image so far in the epoch is left as it was, or absent.
    - ``distill_weights.npz`` in the work dir, renewed after each epoch: ``weights`` (E, K, C),
      float32, NaN for a class not seen in that epoch, and ``class_counts`` (C,), int64. A resumed
      training keeps the epochs before it.
    - ``distill_weights.png`` after the training: the heat map of
      :func:`~ecl.visualization.weight_heatmap`.

    The weights stay on their device until they are logged, so a step does not wait. If no loss of
    the model weights images, the log has one line about it and there is no file.

    Args:
        interval: Steps between two scalars; the interval of the LoggerHook is recommended.
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.

    Raises:
        UserError: If a setting is out of range; before training, if there is no ClassCountsHook for
            the class counts.

    Example:
        >>> custom_hooks = [dict(type='DistillWeightHook')]
    """

    # Before LoggerHook, which logs the values.
    priority = 'NORMAL'

    @validate_params(interval=Whole(at_least=1), thresholds=Range(at_least=0))
    def __init__(self, interval: int = 10, thresholds: tuple[int, int] = THRESHOLDS) -> None:
        self.interval = interval
        self.thresholds = thresholds
        self._handles: list[RemovableHandle] = []
        self._sums: Tensor | None = None
        self._step: Tensor | None = None  # weights of the current step; updated in place
        self._history: np.ndarray | None = None

    def before_train(self, runner: Runner) -> None:
        """Watch the model, and read the epochs before a resume."""
        model = bare_model(runner.model)
        modules = [m for m in model.modules() if isinstance(m, ImageWeighting)]
        if not modules:
            runner.logger.info(
                'No distillation weights to record: no loss of the model weights images'
            )
            return
        counts = runner.message_hub.get_info('class_counts')
        if counts is None:
            raise UserError(
                'DistillWeightHook needs the class counts: set '
                "default_hooks.class_counts=dict(type='ClassCountsHook')"
            )
        self._class_counts = np.array(counts, dtype=np.int64)
        self._groups = shot_groups(counts, self.thresholds)
        self._path = Path(runner.work_dir, ARRAYS)
        self._history = self._read(runner) if runner.epoch > 0 else None
        self._sums = self._step = None
        self._handles = [module.register_forward_hook(self.accumulate) for module in modules]

    @torch.compiler.disable
    @torch.no_grad()
    def accumulate(self, module: nn.Module, args: tuple, weights: Tensor) -> None:
        """Add the weights of a step; the forward hook of a weighting in training."""
        if not module.training:
            return
        outputs, targets = args
        labels = target_distribution(targets, outputs.logits.size(-1))
        with torch.autocast(weights.device.type, enabled=False):
            step = torch.stack([weights, torch.ones_like(weights)]) @ labels
        if self._step is None:
            self._step = torch.zeros_like(step)
        self._step += step

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Count the step, which has ended well; pass the means over the groups on to the log."""
        if self._step is not None:
            before = 0 if self._sums is None else self._sums.to(self._step.device)
            self._sums = self._step + before
            self._step.zero_()
        due = self.every_n_inner_iters(batch_idx, self.interval)
        due = due or self.end_of_epoch(runner.train_dataloader, batch_idx)
        if self._sums is None or not due:
            return
        weights, images = _reduced(self._sums)
        for name, classes in self._groups.items():
            seen = images[:, classes].sum()
            if seen > 0:
                mean = weights[:, classes].sum() / seen
                runner.message_hub.update_scalar(f'train/distill_weight/{name}', float(mean))

    def after_train_epoch(self, runner: Runner) -> None:
        """Append the epoch to the file."""
        if self._sums is None:
            return
        weights, images = _reduced(self._sums)
        epoch = np.full_like(weights, np.nan)
        np.divide(weights, images, out=epoch, where=images > 0)
        # Epochs without a record stay NaN, so that the index is the epoch.
        history = np.full((runner.epoch + 1, *epoch.shape), np.nan, dtype=np.float32)
        if self._history is not None:
            history[: len(self._history)] = self._history
        history[-1] = epoch
        self._history = history
        if is_main_process():
            with (
                warn_on_write_error(runner.logger, str(self._path)),
                atomic_write(self._path) as file,
            ):
                np.savez(file, weights=history, class_counts=self._class_counts)
        self._sums = None

    def after_train(self, runner: Runner) -> None:
        """Draw the heat map and remove the hooks from the model."""
        if self._handles and self._history is not None and is_main_process():
            figure = weight_heatmap(self._history, self._class_counts, self.thresholds)
            with (
                warn_on_write_error(runner.logger, PICTURE),
                atomic_write(self._path.with_name(PICTURE)) as file,
            ):
                figure.savefig(file, format='png', dpi=150)
            runner.logger.info(f'Distillation weights: {self._path}, {PICTURE} in the same folder')
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def state_dict(self) -> dict[str, Tensor | None]:
        """Return the sums of this process in the epoch so far."""
        return {'sums': None if self._sums is None else self._sums.cpu()}

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """Continue an epoch with the sums of :meth:`state_dict`."""
        self._sums = state['sums']

    def _read(self, runner: Runner) -> np.ndarray | None:
        """Return the epochs before the resumed one, if a file of this model's shape has them."""
        if not self._path.exists():
            return None
        try:
            with np.load(self._path) as file:
                weights, counts = file['weights'], file['class_counts']
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            runner.logger.warning(f'{self._path} is damaged ({error}): starting a new file')
            return None
        if not np.array_equal(counts, self._class_counts):
            runner.logger.warning(f'{self._path} belongs to other data: starting a new file')
            return None
        return weights[: runner.epoch]


def _reduced(sums: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of weights and the number of images over all processes, each (K, C)."""
    total = sums.clone()
    all_reduce(total)
    weights, images = total.cpu().numpy()
    return weights, images
