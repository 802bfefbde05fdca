"""Record of a training: configuration, data, versions and results."""

import importlib
import json
import math
import os
import platform
import time
from numbers import Real
from pathlib import Path
from shutil import which
from subprocess import run
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

import ecl
from ecl.datasets import describe
from ecl.engine.resume.atomic_file import relative_path, write_text
from ecl.evaluation import ShotAccuracy, further_line, interval_line, metric_table
from ecl.registry import HOOKS

RECORD = 'results.json'
PACKAGES = ('torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'ecl')


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Write ``results.json`` into the work dir and show the table when a training ends.

    The record holds:

    - ``config``: the file as seen from the current folder (on Windows, the absolute path of a
      file on another drive); null without one.
    - ``seed``, ``epochs``: of the training; ``epochs`` counts the finished ones.
    - ``wall_seconds``: time spent in training and validation, over all resumes.
    - ``versions``: of Python and of the packages that a result depends on.
    - ``commit``: that of the checkout of this toolbox; null for an installed package.
    - ``machine``: see :func:`machine`.
    - ``protocol``: ``source``, ``subset``, ``imbalance_factor`` (and ``list``, for data named in
      one) of the training data,
      ``shot_thresholds``, ``evaluated`` (the validation data) and ``epoch_used``, which is always
      'last'.
    - ``metrics``: those of the validation after the last epoch, accuracies in percent.
    - ``first_stage``: ``epochs`` and ``metrics`` of the last validation before the second stage of
      :class:`~ecl.engine.SecondStageHook`; absent in a training of one stage.
    - ``adjustment``: what :class:`~ecl.engine.AdjustmentHook` did at the end; absent
      without it.
    - ``class_counts``: training images of each class; null without ClassCountsHook.

    If the last epoch was not validated (the training was stopped early, or was resumed after its
    end), the hook validates then. Without a validation set ``metrics`` is empty.

    Example:
        >>> default_hooks = dict(run_record=dict(type='RunRecordHook'))
    """

    # Last, so that the record counts the time of the other hooks and ends the log.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._start: float | None = None
        self._seconds_before = 0.0
        self._metrics: dict[str, Any] = {}
        self._validated_epoch: int | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the time spent so far from the checkpoint."""
        self._seconds_before = checkpoint.get('meta', {}).get('wall_seconds', 0.0)

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        if runner.iter == 0:  # initial weights have no training time
            self._seconds_before = 0.0
        self._start = time.monotonic()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the time spent so far into the checkpoint."""
        checkpoint['meta']['wall_seconds'] = self._wall_seconds()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Keep the metrics and the epoch they belong to."""
        if self._start is not None:  # only in a training
            self._metrics = metrics or {}
            self._validated_epoch = runner.epoch

    def after_train(self, runner: Runner) -> None:
        """Write the record and show the table."""
        if self._validated_epoch != runner.epoch and runner.val_loop is not None:
            runner.val_loop.run()
        if not is_main_process():
            return
        record = self._record(runner)
        path = Path(runner.work_dir, RECORD)
        metrics = record['metrics']
        number = (record['protocol']['evaluated'] or {}).get('num_images', 0)
        parts = metric_table(metrics), interval_line(metrics, number), further_line(metrics)
        table = '\n'.join(filter(None, parts))
        # Show the table before the file is written, because a full disk raises an error.
        runner.logger.info(f'Results, for {path}' + (f':\n{table}' if table else ''))
        write_text(path, json.dumps(record, indent=2, allow_nan=False) + '\n')

    def _record(self, runner: Runner) -> dict[str, Any]:
        record = {
            'config': relative_path(runner.cfg.filename) if runner.cfg.filename else None,
            'seed': runner.seed,
            'epochs': runner.epoch,
            'wall_seconds': round(self._wall_seconds(), 3),
            'versions': _versions(),
            'commit': _commit(),
            'machine': machine(next(runner.model.parameters()).device),
            'protocol': _protocol(runner),
            'metrics': {
                key: float(value)
                for key, value in self._metrics.items()
                if isinstance(value, Real) and math.isfinite(value)
            },
            'class_counts': runner.message_hub.get_info('class_counts'),
        }
        told = {key: runner.message_hub.get_info(key) for key in ('first_stage', 'adjustment')}
        return record | {key: value for key, value in told.items() if value is not None}

    def _wall_seconds(self) -> float:
        spent = 0.0 if self._start is None else time.monotonic() - self._start
        return self._seconds_before + spent


def device_name(device: torch.device) -> str:
    """Return the name of a CUDA device, else the type in capitals, such as 'CPU' or 'MPS'."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return device.type.upper()


def machine(device: torch.device) -> dict[str, str | int]:
    """Describe the machine: ``device``, ``processor``, ``cores`` and ``threads``."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return {
        'device': device_name(device),
        'processor': names[0] if names else platform.processor(),
        'cores': os.cpu_count() or 1,
        'threads': torch.get_num_threads(),
    }


def _commit() -> str | None:
    root = Path(ecl.__file__).parents[1]
    if not (root / '.git').exists() or not which('git'):
        return None
    command = ['git', '-C', str(root), 'rev-parse', '--short=7', 'HEAD']
    return run(command, capture_output=True, text=True).stdout.strip() or None


def _versions() -> dict[str, str]:
    modules = {name: importlib.import_module(name) for name in PACKAGES}
    installed = {name: str(module.__version__) for name, module in modules.items()}
    return {'python': platform.python_version(), **installed}


def _protocol(runner: Runner) -> dict[str, Any]:
    training = describe(runner.train_dataloader.dataset)
    protocol: dict[str, Any] = {
        key: training.get(key) for key in ('source', 'subset', 'imbalance_factor')
    }
    if 'list' in training:
        protocol['list'] = training['list']
    protocol |= {'shot_thresholds': None, 'evaluated': None, 'epoch_used': 'last'}
    if runner.val_loop is not None:
        protocol['evaluated'] = describe(runner.val_dataloader.dataset)
        for metric in runner.val_evaluator.metrics:
            if isinstance(metric, ShotAccuracy):
                protocol['shot_thresholds'] = list(metric.thresholds)
    return protocol
