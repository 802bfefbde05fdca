"""Predictions of a checkpoint for its test images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import track

from ecl.apis.model import build_model, read_config
from ecl.checkpoint_file import load_checkpoint
from ecl.evaluation import PredictionRecord, Predictions


@torch.inference_mode()
def evaluate_checkpoint(
    checkpoint: str | Path,
    metric: BaseMetric,
    cfg_options: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> dict[str, float]:
    """Predict the test images of a checkpoint, by the configuration it carries.

    Args:
        checkpoint: A checkpoint file.
        metric: What looks at the predictions.
        cfg_options: Values by dotted key that replace those of the configuration, such as
            ``{'test_dataloader.dataset.data_root': 'elsewhere'}``.
        device: Such as 'cpu' or 'cuda:1'. By default a GPU if there is one.

    Returns:
        What the metric makes of them.

    Raises:
        UserError: If checkpoint or data cannot be used.
    """
    content = load_checkpoint(checkpoint)
    cfg = read_config(content, checkpoint)
    cfg.merge_from_dict(dict(cfg_options or {}))
    model = build_model(content, cfg, checkpoint, device)
    with DefaultScope.overwrite_default_scope('ecl'):
        loader = Runner.build_dataloader(cfg.test_dataloader)
    tell = getattr(metric, 'set_class_counts', None)
    if tell is not None:
        tell(content['meta'].get('class_counts'))
    for batch in track(loader, f'predicting {checkpoint}', console=Console(stderr=True)):
        metric.process(batch, [sample.to_dict() for sample in model.test_step(batch)])
    return metric.evaluate(size=len(loader.dataset))


def collect_predictions(
    checkpoint: str | Path,
    cfg_options: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> Predictions:
    """Predictions of the test images, in their order; see :func:`evaluate_checkpoint`."""
    record = PredictionRecord()
    evaluate_checkpoint(checkpoint, record, cfg_options, device)
    assert record.predictions is not None  # this is the main process
    return record.predictions
