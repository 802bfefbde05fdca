"""Train from a configuration file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.runner import Runner

from ecl.apis.checkpoint import (
    check_schedule_fits,
    check_weights_fit,
    latest_checkpoint,
    load_checkpoint,
)
from ecl.apis.config import load_config, use_mixed_precision
from ecl.apis.launch import set_launcher
from ecl.errors import UserError


def train(
    config: str | Path,
    work_dir: str | Path | None = None,
    resume: str | Path | None = None,
    amp: bool = False,
    seed: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
) -> dict[str, Any] | None:
    """Train a model; logs, checkpoints and the run record go to the work dir.

    Args:
        config: A configuration file.
        work_dir: Folder of the results. By default the file's own ``work_dir``, else
            ``work_dirs/<file name>``.
        resume: A checkpoint to go on from, or ``'auto'`` for the latest in the work dir; without
            one there, the training starts from the beginning.
        amp: Mixed precision in bfloat16.
        seed: Random seed. By default the file's own, else 0.
        cfg_options: Values by dotted key that replace those of the file.
        launcher: ``'none'``, or ``'pytorch'`` in a process that torchrun started.

    Returns:
        The content of ``results.json``, or None if the configuration writes no run record.

    Raises:
        UserError: If the configuration, the data or the checkpoint cannot be used as they are.

    Example:
        >>> record = train('configs/ecl/ecl_r8_digits-lt.py')  # doctest: +SKIP
        >>> record['metrics']['shot/few']  # doctest: +SKIP
    """
    cfg = load_config(config, work_dir=work_dir, seed=seed, cfg_options=cfg_options)
    if cfg.get('train_dataloader') is None or cfg.get('train_cfg') is None:
        raise UserError(f'{config} has no train_dataloader or no train_cfg: it cannot be trained')
    if amp:
        use_mixed_precision(cfg, str(config))
    if resume == 'auto':
        resume = latest_checkpoint(cfg.work_dir)
        if resume is None:
            print(f'No checkpoint in {cfg.work_dir} yet: training starts from the beginning.')
    checkpoint = None
    if resume is not None:
        cfg.load_from, cfg.resume = str(resume), True
        checkpoint = load_checkpoint(resume)
        check_schedule_fits(checkpoint, cfg.train_cfg.get('max_epochs'), resume)
    set_launcher(cfg, launcher)
    runner = Runner.from_cfg(cfg)
    if checkpoint is not None:
        check_weights_fit(checkpoint, runner.model, resume)
    record = Path(runner.work_dir) / 'results.json'
    # A record of an earlier training must not pass for this one's.
    if runner.rank == 0:
        record.unlink(missing_ok=True)
    runner.train()
    return json.loads(record.read_text()) if record.exists() else None
