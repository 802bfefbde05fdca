"""A training, read from its work dir."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import Dataset

from ecl.apis.checkpoint import latest_checkpoint
from ecl.apis.model import build_model, read_config
from ecl.apps.report.predictions import Features, predict_all
from ecl.apps.report.scalars import read_scalars
from ecl.checkpoint_file import load_checkpoint
from ecl.datasets import describe
from ecl.engine.hooks.distill_weight import ARRAYS
from ecl.engine.hooks.run_record import RECORD
from ecl.errors import UserError
from ecl.evaluation import Predictions
from ecl.shots import THRESHOLDS

#: Images whose features are placed by t-SNE, the slowest part of a small report.
MAX_FEATURES = 1000


@dataclass
class Run:
    """A training and what its latest checkpoint says about the test images.

    Attributes:
        name: Name of the work dir.
        checkpoint: The checkpoint's file.
        record: Content of ``results.json``; empty for a training that has not ended.
        protocol: What was trained and tested on; see :class:`ecl.engine.hooks.RunRecordHook`.
        scalars: The log; see :func:`~ecl.apps.report.scalars.read_scalars`.
        weights: Distillation weights (E, K, C); None for a model that has none.
        class_counts: Training images of each class, (C,).
        class_names: Names in label order, length C.
        thresholds: Of the shot groups.
        dataset: The test images.
        to_rgb: Whether the model takes the images of the dataset for BGR.
        predictions: For the test images.
        features: Of some of the test images.
    """

    name: str
    checkpoint: Path
    record: dict[str, Any]
    protocol: dict[str, Any]
    scalars: list[dict[str, float]]
    weights: np.ndarray | None
    class_counts: np.ndarray
    class_names: list[str]
    thresholds: tuple[int, int]
    dataset: Dataset
    to_rgb: bool
    predictions: Predictions
    features: Features


def read_run(work_dir: str | Path) -> Run:
    """Read a training and predict its test images with its latest checkpoint.

    Args:
        work_dir: Folder that the training wrote.

    Returns:
        The run.

    Raises:
        UserError: If the folder holds no checkpoint, or its configuration or data cannot be used.
    """
    folder = Path(work_dir)
    if not folder.is_dir():
        raise UserError(f'work dir {folder} does not exist')
    path = latest_checkpoint(folder)
    if path is None:
        raise UserError(f'{folder} holds no checkpoint: give the work dir of a training')
    content = load_checkpoint(path)
    counts = content.get('meta', {}).get('class_counts')
    if counts is None:
        raise UserError(
            f'{path} does not tell the training images of each class: train with '
            "dict(type='ClassCountsHook') in custom_hooks"
        )
    cfg = read_config(content, path)
    model = build_model(content, cfg, path)
    with DefaultScope.overwrite_default_scope('ecl'):
        loader = Runner.build_dataloader(cfg.test_dataloader)
    name = folder.resolve().name
    predictions, features = predict_all(model, loader, MAX_FEATURES, name)
    names = getattr(loader.dataset, 'metainfo', {}).get('classes')
    record = _record(folder / RECORD)
    protocol = {**record.get('protocol', {}), 'evaluated': describe(loader.dataset)}
    low, high = protocol.get('shot_thresholds') or THRESHOLDS
    return Run(
        name=name,
        checkpoint=Path(path),
        record=record,
        protocol=protocol,
        scalars=read_scalars(folder),
        weights=_weights(folder / ARRAYS, len(counts)),
        class_counts=np.array(counts),
        class_names=[str(names[i]) if names else f'class {i}' for i in range(len(counts))],
        thresholds=(low, high),
        dataset=loader.dataset,
        to_rgb=bool(getattr(model.data_preprocessor, 'to_rgb', False)),
        predictions=predictions,
        features=features,
    )


def _record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f'{path} is no JSON: remove it, or train again') from error


def _weights(path: Path, num_classes: int) -> np.ndarray | None:
    """The recorded weights, unless there are none or those of another data set."""
    if not path.is_file():
        return None
    with np.load(path) as file:
        weights = file['weights']
    return weights if weights.shape[-1] == num_classes else None
