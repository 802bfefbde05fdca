"""Read a training from its work dir, and predict its test images."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmpretrain.models import BaseClassifier
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, Dataset

from ecl.apis.checkpoint import find_checkpoint
from ecl.apis.inference import build_loader, build_model, predict_dataset, read_config
from ecl.apps.report.curves import read_scalars
from ecl.checkpoint_file import load_checkpoint
from ecl.datasets import describe
from ecl.datasets.class_names import class_names
from ecl.engine.hooks.run_record import RECORD
from ecl.engine.methods.distill_weight import ARRAYS
from ecl.errors import UserError
from ecl.evaluation import PredictionRecord, Predictions
from ecl.shots import THRESHOLDS

#: Images in the feature map; t-SNE is the slowest part of a small report.
MAX_FEATURES = 1000


@dataclass
class Features:
    """Features of M test images, chosen at random.

    Attributes:
        places: Indices of the images in the data set, (M,), ascending.
        vectors: Features (M, D): those of the experts side by side, each of length 1.
    """

    places: np.ndarray
    vectors: np.ndarray


@dataclass
class Run:
    """Training, and the predictions of its final checkpoint for the test images.

    Attributes:
        name: Name of the work dir.
        checkpoint: The checkpoint's file.
        record: Content of ``results.json``; empty for a training that has not ended.
        protocol: Training and test data; see :class:`ecl.engine.RunRecordHook`.
        scalars: The log; see :func:`~ecl.apps.report.curves.read_scalars`.
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
    """Read a training and predict its test images with its final checkpoint.

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
    path = find_checkpoint(folder)
    content = load_checkpoint(path)
    counts = content.get('meta', {}).get('class_counts')
    if counts is None:
        raise UserError(
            f'{path} has no number of training images per class: got no class_counts. '
            'Train with ClassCountsHook.'
        )
    cfg = read_config(content, path)
    model = build_model(content, cfg, path)
    loader = build_loader(cfg)
    name = folder.resolve().name
    predictions, features = predict_with_features(model, loader, MAX_FEATURES, name)
    names = class_names(loader.dataset)
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


def predict_with_features(
    model: BaseClassifier, loader: DataLoader, max_features: int, title: str
) -> tuple[Predictions, Features]:
    """Predict a data set, and keep the features of some of its images.

    Args:
        model: A classifier in evaluation mode.
        loader: Test images in the order of their data set.
        max_features: Number of images to keep the features of, chosen at random (seed 0).
        title: Name of the data beside the progress bar.

    Returns:
        The predictions and the features.
    """
    dataset: Any = loader.dataset
    size = len(dataset)
    chosen = np.zeros(size, dtype=bool)
    chosen[np.random.default_rng(0).permutation(size)[:max_features]] = True
    vectors: list[Tensor] = []
    done = 0

    def keep(_: nn.Module, inputs: tuple, feats: tuple[Tensor, ...]) -> None:
        nonlocal done
        images = len(feats[0])
        kept = torch.from_numpy(chosen[done : done + images]).to(feats[0].device)
        units = [normalize(feat[kept].flatten(1).float(), dim=1) for feat in feats]
        vectors.append(torch.cat(units, dim=1).cpu())
        done += images

    record = PredictionRecord()
    hook = (model.neck if model.with_neck else model.backbone).register_forward_hook(keep)
    try:
        predict_dataset(model, loader, record, title)
    finally:
        hook.remove()
    assert record.predictions is not None  # this is the only process
    return record.predictions, Features(np.flatnonzero(chosen), torch.cat(vectors).numpy())


def _record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f'{path} is not valid JSON: remove it, or train again') from error


def _weights(path: Path, num_classes: int) -> np.ndarray | None:
    """Return the recorded weights; None if there are none or those of another data set."""
    if not path.is_file():
        return None
    with np.load(path) as file:
        weights = file['weights']
    return weights if weights.shape[-1] == num_classes else None
