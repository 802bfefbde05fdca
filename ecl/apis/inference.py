"""Build the model of a checkpoint and predict with it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import BaseClassifier
from mmpretrain.structures import DataSample
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader

from ecl.apis.config_text import parse_config, restrict_types
from ecl.checkpoint_file import load_checkpoint
from ecl.errors import UserError
from ecl.evaluation import PredictionRecord, Predictions
from ecl.registry import MODELS
from ecl.weights import check_weights_fit

#: Prefix of the weights that only training uses: momentum encoder, queue, projection.
CONTRAST = 'contrast.'


def read_config(content: dict[str, Any], source: str | Path) -> Config:
    """Read the configuration in a checkpoint, safe to build a model and pipelines from.

    Args:
        content: Result of :func:`~ecl.checkpoint_file.load_checkpoint`.
        source: File of the checkpoint, for error messages.

    Raises:
        UserError: If there is none, or it names more than registered classes.
    """
    text = content.get('meta', {}).get('cfg')
    if not isinstance(text, str):
        raise UserError(f'{source} holds no configuration: it was not written by a training')
    cfg = parse_config(text, str(source))
    for key in ('model', 'test_dataloader'):
        if not isinstance(cfg.get(key), dict):
            raise UserError(f'{source}: the configuration in it has no {key}')
    used = ('model', 'data_preprocessor', 'test_dataloader', 'tta_pipeline', 'tta_model')
    parts = {key: cfg[key] for key in used if cfg.get(key)}
    restrict_types(parts, cfg.get('custom_imports'), str(source))
    return cfg


def build_model(
    content: dict[str, Any], cfg: Config, source: str | Path, device: str | None = None
) -> BaseClassifier:
    """Build the model of a checkpoint with its weights, without its contrastive branch.

    Args:
        content: Result of :func:`~ecl.checkpoint_file.load_checkpoint`.
        cfg: Result of :func:`read_config`.
        source: File of the checkpoint, for error messages.
        device: Such as 'cpu' or 'cuda:1'. Default: a GPU if there is one.

    Returns:
        The model, in evaluation mode.

    Raises:
        UserError: If the weights do not fit the model, or the device does not exist.
    """
    network = cfg.model.copy()
    network.pop('contrast', None)
    network.pop('train_cfg', None)
    network.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    with DefaultScope.overwrite_default_scope('ecl'):
        model = MODELS.build(network)
    weights = {k: v for k, v in content['state_dict'].items() if not k.startswith(CONTRAST)}
    check_weights_fit({'state_dict': weights}, model, source)
    model.load_state_dict(weights)
    try:
        return model.to(device or get_device()).eval()
    except (RuntimeError, AssertionError) as error:
        if device is None or isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).splitlines()[0]
        raise UserError(f'device {device!r} cannot be used: {reason}') from error


@torch.inference_mode()
def predict_batches(
    model: BaseModel, batches: Iterable[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], list[DataSample]]]:
    """Predict batches one after another.

    Every prediction of this package outside of a Runner is made here: data sets, single images and
    benchmarks.

    Args:
        model: A classifier in evaluation mode.
        batches: Batches as a data loader returns them: ``inputs`` and ``data_samples``.

    Yields:
        The batch, and its samples with ``pred_score`` (C,) and, for K experts, ``expert_scores``
        (K, C).
    """
    for batch in batches:
        yield batch, model.test_step(batch)


def predict_dataset(
    model: BaseModel, loader: DataLoader, metric: BaseMetric, title: str = ''
) -> dict[str, float]:
    """Predict a data set with a progress bar, and evaluate a metric on it.

    Args:
        model: A classifier in evaluation mode.
        loader: Images in the order of their data set.
        metric: Receives every prediction.
        title: Name of the data beside the progress bar.

    Returns:
        The result of the metric.
    """
    batches = track(loader, f'predicting {title}', console=Console(stderr=True))
    for batch, samples in predict_batches(model, batches):
        metric.process(batch, [sample.to_dict() for sample in samples])
    dataset: Any = loader.dataset
    return metric.evaluate(size=len(dataset))


def build_test_loader(cfg: Config) -> DataLoader:
    """Build the data loader of the test data of a configuration."""
    with DefaultScope.overwrite_default_scope('ecl'):
        return Runner.build_dataloader(cfg.test_dataloader)


def evaluate_checkpoint(
    checkpoint: str | Path,
    metric: BaseMetric,
    cfg_options: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> dict[str, float]:
    """Predict the test images of a checkpoint with the configuration in it.

    Args:
        checkpoint: A checkpoint file.
        metric: Receives every prediction; told the class counts if it has ``set_class_counts``.
        cfg_options: Values by dotted key that replace those of the configuration, such as
            ``{'test_dataloader.dataset.data_root': 'elsewhere'}``.
        device: Such as 'cpu' or 'cuda:1'. Default: a GPU if there is one.

    Returns:
        The result of the metric.

    Raises:
        UserError: If checkpoint or data cannot be used.
    """
    content = load_checkpoint(checkpoint)
    cfg = read_config(content, checkpoint)
    cfg.merge_from_dict(dict(cfg_options or {}))
    model = build_model(content, cfg, checkpoint, device)
    if hasattr(metric, 'set_class_counts'):
        metric.set_class_counts(content['meta'].get('class_counts'))
    return predict_dataset(model, build_test_loader(cfg), metric, str(checkpoint))


def collect_predictions(
    checkpoint: str | Path,
    cfg_options: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> Predictions:
    """Predict the test images of a checkpoint, in their order; see :func:`evaluate_checkpoint`."""
    record = PredictionRecord()
    evaluate_checkpoint(checkpoint, record, cfg_options, device)
    assert record.predictions is not None  # this is the main process
    return record.predictions
