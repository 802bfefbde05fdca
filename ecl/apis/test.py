"""Evaluate a checkpoint."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.runner import Runner

from ecl.apis.checkpoint import check_weights_fit, load_checkpoint
from ecl.apis.config import load_config
from ecl.apis.launch import set_launcher
from ecl.errors import UserError
from ecl.evaluation.table import metric_table


def test(
    config: str | Path,
    checkpoint: str | Path,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
) -> dict[str, float]:
    """Evaluate a checkpoint on the test data and print the many / medium / few table.

    Args:
        config: The configuration file of the checkpoint's training.
        checkpoint: A checkpoint file.
        work_dir: Folder of the log. By default that of the training.
        out: JSON file to write the metrics to.
        cfg_options: Values by dotted key that replace those of the file.
        launcher: ``'none'``, or ``'pytorch'`` in a process that torchrun started.

    Returns:
        The metrics; accuracies in percent.

    Raises:
        UserError: If the configuration or the data cannot be used as they are, or the checkpoint
            belongs to another model.
    """
    if out is not None and not Path(out).parent.is_dir():
        raise UserError(f'cannot write {out}: folder {Path(out).parent} does not exist')
    cfg = load_config(config, work_dir=work_dir, cfg_options=cfg_options)
    if cfg.get('test_dataloader') is None or cfg.get('test_cfg') is None:
        raise UserError(f'{config} has no test_dataloader or no test_cfg: it cannot be tested')
    cfg.load_from, cfg.resume = str(checkpoint), False
    weights = load_checkpoint(checkpoint)
    set_launcher(cfg, launcher)
    runner = Runner.from_cfg(cfg)
    check_weights_fit(weights, runner.model, checkpoint)
    metrics = runner.test()
    if runner.rank == 0:
        print(metric_table(metrics))
        if out is not None:
            result = dict(config=str(config), checkpoint=str(checkpoint), metrics=metrics)
            Path(out).write_text(json.dumps(result, indent=2) + '\n')
    return metrics
