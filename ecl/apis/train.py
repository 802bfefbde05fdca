"""Train a model from a configuration."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ecl.apis.checkpoint import check_resumable, load_latest
from ecl.apis.config import (
    ConfigLike,
    check_work_dir,
    config_name,
    load_config,
    use_mixed_precision,
    use_resumable_loop,
)
from ecl.apis.faults import explain_faults
from ecl.apis.launch import alone_in, divide_batch, set_launcher
from ecl.apis.schedule import schedule_fault, set_epochs
from ecl.checkpoint_file import SHIPPED, load_checkpoint
from ecl.engine.hooks.console import ConsoleHook
from ecl.engine.hooks.run_record import RECORD
from ecl.engine.memory import MemoryHook
from ecl.engine.resume.atomic_file import remove_temporary_files
from ecl.engine.resume.checkpoint_hook import LAST_CHECKPOINT, kept_checkpoints
from ecl.engine.resume.processes import exit_on_signal, stopped, unsaved
from ecl.engine.resume.runner import ResumableRunner
from ecl.errors import UserError
from ecl.registry import type_name


def train(
    config: ConfigLike,
    work_dir: str | Path | None = None,
    resume: str | Path | None = None,
    amp: bool = False,
    seed: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
    verbose: bool = False,
    validate: bool = True,
    auto_scale_lr: bool = False,
    hooks: Sequence[Hook] = (),
    epochs: int | None = None,
) -> dict[str, Any] | None:
    """Train a model; logs, checkpoints and the run record go to the work dir.

    The console shows one line per epoch and the table of results; the log file holds the full
    record.

    SIGTERM, SIGUSR1, SIGHUP and Ctrl-C save the training and end it after the current step;
    resumed, it gives the same result as without the interruption. See
    ``docs/en/user_guides/reproducibility.md``. The threads of a process share their random numbers,
    so train one model after the other, or several by ``ecl matrix``.

    Args:
        config: A configuration file, the name of one that comes with the package, or its content
            as a Config or dict; see :func:`~ecl.apis.config.load_config`.
        work_dir: Folder of the results. Default: the configuration's own ``work_dir``, else
            ``work_dirs/<file name>``; a Config or dict without a file name needs one.
        resume: A checkpoint to continue from, or ``'auto'`` for the latest one in the work dir. If
            the work dir has none, the training starts from the beginning.
        amp: Mixed precision in bfloat16.
        seed: Random seed. Default: that of the checkpoint to resume, else the configuration's own,
            else 0.
        cfg_options: Values by dotted key that replace those of the configuration.
        launcher: ``'none'``, or ``'pytorch'`` in a process that torchrun started.
        verbose: Print the full record on the console too.
        validate: Validate. Without it the record has no metrics.
        auto_scale_lr: Scale the learning rate by the images of a step, relative to
            ``auto_scale_lr.base_batch_size`` of the configuration, or to its ``images_per_step``.
        hooks: Further hooks.
        epochs: Number of epochs. The schedule of the configuration is scaled to it; see
            :func:`~ecl.apis.schedule.set_epochs`.

    Returns:
        The content of ``results.json``, or None if the configuration writes no run record.

    Raises:
        UserError: If the configuration, the data or the checkpoint cannot be used as they are,
            another process is training in the work dir, or it holds an unfinished training or one
            of another configuration file.
        SystemExit: With status 75, after SIGTERM, SIGUSR1 or SIGHUP. If the loop counts
            iterations, nothing is saved, and the status is 128 + the number of the signal.
        KeyboardInterrupt: After Ctrl-C.

    Example:
        >>> record = train('ecl_r8_digits-lt', work_dir='work_dirs/mine')  # doctest: +SKIP
        >>> record['metrics']['shot/few']  # doctest: +SKIP
    """
    cfg = load_config(config, work_dir=work_dir, seed=seed, cfg_options=cfg_options)
    source = config_name(config)
    check_work_dir(cfg, source)
    if cfg.get('train_dataloader') is None or cfg.get('train_cfg') is None:
        raise UserError(f'{source} has no train_dataloader or no train_cfg: it cannot be trained')
    if amp:
        use_mixed_precision(cfg, source)
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if auto_scale_lr:
        _scale_learning_rate(cfg, source)
    _refuse_compile(cfg, source)
    use_resumable_loop(cfg)
    if epochs is not None:
        set_epochs(cfg, epochs, source)
    divide_batch(cfg, launcher, source)
    first = launcher == 'none' or os.environ.get('RANK') == '0'
    lock = alone_in(cfg.work_dir) if first else nullcontext()
    if first and (fault := schedule_fault(cfg)):
        line = f'{source}: {fault}. Set both by --epochs {cfg.train_cfg.max_epochs}.'
        print(f'warning: {line}', file=sys.stderr)
    saves = type_name(cfg.train_cfg) == 'ResumableTrainLoop'
    status = stopped if saves else unsaved
    with exit_on_signal(status), explain_faults(cfg, source), lock:
        resumed = _resume(cfg, resume, seed)
        _refuse_other_training(cfg)
        set_launcher(cfg, launcher)
        with closing(ResumableRunner.from_cfg(cfg)) as runner:
            runner.register_hook(MemoryHook(console=not verbose))
            if not verbose:
                runner.register_hook(ConsoleHook())
            for hook in hooks:
                runner.register_hook(hook)
            if resumed is not None:
                runner.preload(cfg.load_from, resumed)
            del resumed  # the runner frees it before the first step
            record = Path(runner.work_dir) / RECORD
            if first:
                runner.register_hook(_NewRecordHook(record))
                remove_temporary_files(runner.work_dir)
            runner.train()
        return json.loads(record.read_text()) if record.exists() else None


class _NewRecordHook(Hook):
    """Remove the record of an earlier training in the same work dir when this one begins.

    Args:
        record: The file.
    """

    # After the checks of the other hooks.
    priority = 'LOWEST'

    def __init__(self, record: Path) -> None:
        self.record = record

    def before_train(self, runner: Runner) -> None:
        """Remove the file."""
        self.record.unlink(missing_ok=True)


def _refuse_other_training(cfg: Config) -> None:
    """Raise an error if a work dir holds an unfinished training or another configuration's.

    The same configuration may be trained again after its training has ended.
    """
    remedy = 'choose another --work-dir, or remove the folder'
    record, kept = Path(cfg.work_dir, RECORD), kept_checkpoints(cfg.work_dir)
    if not record.is_file():
        if kept and not cfg.get('resume'):
            raise UserError(
                f'{cfg.work_dir} holds an unfinished training ({kept[0]}): continue it with '
                f'--resume, {remedy}'
            )
        return
    other = None
    with suppress(ValueError):  # a damaged file names no configuration
        other = json.loads(record.read_text()).get('config')
    if not other or not cfg.filename:
        return
    same_name = Path(other).name == Path(cfg.filename).name
    if not same_name or (Path(other).is_file() and not Path(other).samefile(cfg.filename)):
        raise UserError(
            f'{cfg.work_dir} holds a training of {other}, expected none or one of {cfg.filename}: '
            f'{remedy}'
        )


def _scale_learning_rate(cfg: Config, source: str) -> None:
    if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        raise UserError(
            f'{source}: auto_scale_lr: got no base_batch_size, expected the number of images '
            'per step for which the learning rate was chosen. Set '
            'auto_scale_lr=dict(base_batch_size=256).'
        )
    cfg.auto_scale_lr.enable = True


def _refuse_compile(cfg: Config, source: str) -> None:
    """Raise an error for MMEngine's ``compile``, which takes minutes for K networks."""
    compiled = cfg.get('compile')
    if compiled and type_name(cfg.model) == 'ECLClassifier':
        raise UserError(
            f'{source}: compile: got {compiled}, expected False. Compiling the step of several '
            'experts takes minutes. Use --amp to train faster.'
        )


def _resume(cfg: Config, resume: str | Path | None, seed: int | None) -> dict[str, Any] | None:
    """Set ``cfg`` to resume a checkpoint, and return its content; None for a new training."""
    load_from = cfg.get('load_from')
    if resume is None and cfg.get('resume'):
        resume = load_from or 'auto'
    checkpoint = None
    if resume == 'auto':
        resume, checkpoint = load_latest(cfg.work_dir) or (None, None)
        if resume is None and kept_checkpoints(cfg.work_dir):
            # A new training would overwrite checkpoints that can perhaps be repaired.
            raise UserError(
                f'none of the checkpoints in {Path(cfg.work_dir, LAST_CHECKPOINT)} can be loaded; '
                'give another one by --resume PATH, or remove that file to start a new training'
            )
        if resume is None:
            print(f'No checkpoint in {cfg.work_dir} yet: training starts from the beginning.')
    if resume is None:
        known = not load_from or load_from in SHIPPED or '://' in load_from
        if not known and not Path(load_from).is_file():
            raise UserError(f'load_from: checkpoint {load_from} does not exist')
        return None
    if checkpoint is None:
        checkpoint = load_checkpoint(resume)
    check_resumable(checkpoint, cfg, resume)
    saved_seed = checkpoint['meta'].get('seed')
    if seed is not None and saved_seed not in (None, seed):
        raise UserError(
            f'cannot resume {resume} with seed {seed}: it was started with {saved_seed}'
        )
    # MMEngine reads the seed of a checkpoint only after it has seeded the samplers.
    if saved_seed is not None:
        cfg.randomness.seed = saved_seed
    cfg.load_from, cfg.resume = str(resume), True
    return checkpoint
