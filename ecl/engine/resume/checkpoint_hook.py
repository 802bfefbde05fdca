"""Save checkpoints that a crash cannot damage and that resume exactly."""

import os
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, barrier, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook as EngineCheckpointHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from ecl.engine.resume.atomic_file import atomic_write, relative_path, write_text
from ecl.engine.resume.processes import of_main_process
from ecl.engine.resume.rank_state import gather_states, restore_state
from ecl.errors import UserError
from ecl.registry import HOOKS
from ecl.settings import Whole, validate_params

#: File in the work dir that names the checkpoints of the training, newest first, one per line.
LAST_CHECKPOINT = 'last_checkpoint'
#: Parts of the names of metrics for which larger, or smaller, values are better.
GREATER_KEYS = ('shot', 'balance')
LESS_KEYS = ('ece',)
_INTERIM = 'resume_iter_'
#: Settings that must not change on resume: key in the checkpoint, name in an error.
_COURSE = {
    'world_size': 'the number of processes',
    'batch_size': 'batch_size',
    'iterations': 'the number of steps in an epoch',
    'accumulative_counts': 'optim_wrapper.accumulative_counts',
}


def kept_checkpoints(work_dir: str | Path) -> list[str]:
    """Return the checkpoints that the training of a work dir kept.

    Args:
        work_dir: Folder of a training.

    Returns:
        Paths relative to it, newest first.
    """
    pointer = Path(work_dir, LAST_CHECKPOINT)
    lines = pointer.read_text(errors='replace').split('\n') if pointer.is_file() else []
    # MMEngine writes an absolute path, which is wrong after the folder was moved.
    return [Path(line).name if os.path.isabs(line) else line for line in lines if line]


@register_backend('atomic', force=True)
class AtomicBackend(LocalBackend):
    """Write files on a local disk atomically; delay removals until they are confirmed."""

    def __init__(self) -> None:
        self._removed: list[str] = []

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file or replace it."""
        with atomic_write(filepath) as file:
            file.write(obj)

    def remove(self, filepath: str | Path) -> None:
        """Note a file to remove."""
        self._removed.append(str(filepath))

    def settle(self, carry_out: bool) -> None:
        """Carry out the noted removals, or drop them."""
        for path in self._removed if carry_out else ():
            Path(path).unlink(missing_ok=True)
        self._removed.clear()


@HOOKS.register_module()
class CheckpointHook(EngineCheckpointHook):
    """Save checkpoints like MMEngine's CheckpointHook, but crash-safe and exact.

    - A file is written atomically. If it cannot be written, such as on a full disk, a warning says
      so and the training continues.
    - Old files are removed after a newer one is complete. The best checkpoints are counted
      separately.
    - ``last_checkpoint`` names the files of the training, newest first, relative to the work dir.
    - A checkpoint holds the state of each rank under ``ranks`` (see
      :func:`~ecl.engine.resume.rank_state.gather_states`). So a training can be saved between any
      two steps and resumed there.
    - Between the files of ``interval``, ``resume_iter_N.pth`` saves the training before a
      validation and when a signal stops it. It is removed after the next checkpoint.
    - ``save_best`` knows the metrics of this package: ``'auto'``, ``'shot/few'`` and so on need no
      ``rule``.

    Args:
        kwargs: Arguments of :class:`mmengine.hooks.CheckpointHook`, such as ``interval``,
            ``max_keep_ckpts``, ``save_best`` and ``rule``. Files go to a local disk only.

    Raises:
        UserError: If a number is out of range or a remote storage is asked for, or if the
            processes begin at different steps. On resuming, if the number of processes, the batch
            size, the steps of an epoch or ``accumulative_counts`` changed.

    Example:
        >>> default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=5))
    """

    last_ckpt: str | None
    _default_greater_keys = [*EngineCheckpointHook._default_greater_keys, *GREATER_KEYS]
    _default_less_keys = [*EngineCheckpointHook._default_less_keys, *LESS_KEYS]

    @validate_params(interval=Whole(at_least=-1), max_keep_ckpts=Whole(at_least=-1))
    def __init__(self, interval: int = -1, max_keep_ckpts: int = -1, **kwargs: Any) -> None:
        for key in ('backend_args', 'file_client_args'):
            if kwargs.get(key):
                raise UserError(f'CheckpointHook writes to local disks only: remove {key}')
        super().__init__(interval=interval, max_keep_ckpts=max_keep_ckpts, **kwargs)
        self.backend_args = {'backend': 'atomic'}
        self._kept: list[str] = []
        self._states: list[dict[str, Any]] = []
        self._resumed: list[dict[str, Any]] = []

    def before_train(self, runner: Runner) -> None:
        """Find the checkpoints of a resumed training. A new training has none."""
        super().before_train(runner)
        _check_same_step(runner)
        if runner._resume:
            resumed = relative_path(runner._load_from, runner.work_dir)
            names = kept_checkpoints(runner.work_dir)
            # Checkpoints newer than the resumed one are damaged or unwanted.
            self._kept = names[names.index(resumed) :] if resumed in names else []
            self._find_best(runner)
        elif is_main_process():
            Path(runner.work_dir, LAST_CHECKPOINT).unlink(missing_ok=True)

    def before_train_epoch(self, runner: Runner) -> None:
        """Restore the state of this rank in the first epoch after a resume."""
        if self._resumed:
            restore_state(runner, self._resumed)
            self._resumed = []

    def after_train_epoch(self, runner: Runner) -> None:
        """Save every ``interval`` epochs, after the last epoch and before a validation."""
        newest, epoch = self.last_ckpt, runner.epoch + 1
        super().after_train_epoch(runner)
        if not self.by_epoch or self.interval <= 0 or self.last_ckpt != newest:
            return
        validates_after = getattr(runner.train_loop, 'validates_after', None)
        if validates_after is not None and validates_after(epoch):
            self.save_interim(runner, epoch, runner.iter)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Any = None,
    ) -> None:
        """End a validation after a signal. The training before it is saved."""
        stop = getattr(runner._train_loop, 'stop', None)
        if stop is not None:
            stop.leave()

    def save_interim(self, runner: Runner, epoch: int, iteration: int) -> bool:
        """Save the training until the next checkpoint. All ranks must call it.

        Args:
            runner: In training.
            epoch: Finished epochs.
            iteration: Finished iterations, over all epochs.

        Returns:
            True if this rank had no error. Rank 0 writes.
        """
        return self._save(runner, f'{_INTERIM}{iteration}.pth', epoch, iteration)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the state of the ranks, and the settings that must not change on resume."""
        checkpoint['meta']['course'] = _course(runner)
        if self._states:
            checkpoint['ranks'] = self._states

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """On resume, check the settings that must not change, and keep the state of the ranks."""
        if not runner._resume:
            return
        saved, now = checkpoint['meta'].get('course', {}), _course(runner)
        for key, name in _COURSE.items():
            if saved.get(key, now[key]) != now[key]:
                raise UserError(
                    f'cannot resume {runner._load_from}: {name} was {saved[key]} and is now '
                    f'{now[key]}; the order of the images and the learning rate depend on it. Keep '
                    f'{saved[key]}, or start a new training from its weights with --cfg-options '
                    f'load_from={runner._load_from}'
                )
        self._resumed = checkpoint.get('ranks', [])

    def _save(self, runner: Runner, name: str, epoch: int, iteration: int) -> bool:
        self._states = gather_states(runner)
        self.last_ckpt = os.path.join(self.out_dir, name)
        written = True
        try:
            runner.save_checkpoint(
                self.out_dir,
                name,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta={'epoch': epoch, 'iter': iteration},
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                self._retain(runner.work_dir, relative_path(self.last_ckpt, runner.work_dir))
        except OSError as error:
            written = False
            _warn(runner, self.last_ckpt, error)
        self._states = []
        barrier()  # wait until rank 0 has written the file
        return written

    def _retain(self, work_dir: str, newest: str) -> None:
        """Name the checkpoints to keep, then remove the others."""
        others = [name for name in self._kept if name != newest and not _is_interim(name)]
        keep = [newest, *others]
        if self.max_keep_ckpts > 0:
            keep = keep[: self.max_keep_ckpts + _is_interim(newest)]
        write_text(Path(work_dir, LAST_CHECKPOINT), '\n'.join([*keep, '']))
        for name in set(self._kept) - set(keep):
            Path(work_dir, name).unlink(missing_ok=True)
        self._kept = keep

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, int]) -> None:
        self._save(runner, self.filename_tmpl.format(step), meta['epoch'], meta['iter'])

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        # The model that is validated after an adjustment is not that of the last checkpoint.
        if not self.save_best or runner.message_hub.get_info('adjustment'):
            return
        for key in self.key_indicators:
            if key != 'auto' and key not in metrics:
                raise UserError(
                    f'default_hooks.checkpoint.save_best: got {key!r}, expected one of '
                    f'{", ".join(metrics)}'
                )
        known = _best(runner)
        newest, self.last_ckpt = self.last_ckpt, None  # or MMEngine would save it again
        written = True
        try:
            super()._save_best_checkpoint(runner, metrics)
        except OSError as error:
            written = False
            _warn(runner, f'the best checkpoint in {self.out_dir}', error)
        # Only rank 0 writes, and all ranks continue in the same way.
        written = of_main_process(written)
        improved = _best(runner) != known
        if not written:
            for key in _best(runner):
                runner.message_hub.pop_info(key)
            runner.message_hub.update_info_dict(known)
            self._find_best(runner)
        self.file_backend.settle(carry_out=written)
        self.last_ckpt = newest
        if improved and newest is not None:
            # It was saved before the validation and names the best checkpoint before.
            self._save(runner, os.path.basename(newest), runner.epoch, runner.iter)

    def _find_best(self, runner: Runner) -> None:
        """Look for the best checkpoints in the current folder, which may have been moved."""
        if not self.save_best:
            return
        paths = {
            key: os.path.join(self.out_dir, os.path.basename(path))
            for key, path in _best(runner).items()
            if key.startswith('best_ckpt')
        }
        runner.message_hub.update_info_dict(paths)
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths.get('best_ckpt')
        else:
            self.best_ckpt_path_dict = {
                key: paths.get(f'best_ckpt_{key}') for key in self.key_indicators
            }


def _is_interim(name: str) -> bool:
    return os.path.basename(name).startswith(_INTERIM)


def _best(runner: Runner) -> dict[str, Any]:
    infos = runner.message_hub.runtime_info
    return {key: value for key, value in infos.items() if key.startswith('best_')}


def _check_same_step(runner: Runner) -> None:
    """Raise an error if the processes found different checkpoints, or only some found one."""
    steps = all_gather_object((runner.epoch, runner.iter))
    if len(set(steps)) > 1:
        listed = ', '.join(
            f'epoch {epoch} and iteration {iteration} in process {rank}'
            for rank, (epoch, iteration) in enumerate(steps)
            if rank == 0 or (epoch, iteration) != steps[0]
        )
        raise UserError(
            f'the processes start at different steps: got {listed}, expected the same step in '
            f'all. The work dir {runner.work_dir} must be on a disk that all machines share.'
        )


def _course(runner: Runner) -> dict[str, int | None]:
    loader = runner.train_dataloader
    return {
        'world_size': runner.world_size,
        'batch_size': getattr(loader.batch_sampler, 'batch_size', None),
        'iterations': len(loader),
        'accumulative_counts': getattr(runner.optim_wrapper, '_accumulative_counts', None),
    }


def _warn(runner: Runner, what: str, error: OSError) -> None:
    runner.logger.warning(
        f'{what} could not be saved ({error}). The training continues with the earlier checkpoints.'
    )
