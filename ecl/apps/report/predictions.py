"""What a model says about every test image, and how it sees some of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmpretrain.models import BaseClassifier
from rich.console import Console
from rich.progress import track
from torch.nn.functional import normalize
from torch.utils.data import DataLoader

from ecl.evaluation import PredictionRecord, Predictions


@dataclass
class Features:
    """What M of the test images look like to the experts.

    Attributes:
        places: Indices of the images in the dataset, (M,), ascending.
        vectors: Features, (M, D): those of the experts, each of length 1, side by side.
    """

    places: np.ndarray
    vectors: np.ndarray


@torch.inference_mode()
def predict_all(
    model: BaseClassifier, loader: DataLoader, max_features: int, title: str
) -> tuple[Predictions, Features]:
    """Predict the images of a loader.

    Args:
        model: A trained classifier in evaluation mode.
        loader: Test images in the order of their dataset.
        max_features: Of how many images, chosen at random (seed 0), to keep the features.
        title: What to call the images beside the progress bar.

    Returns:
        The predictions and the features.
    """
    dataset: Any = loader.dataset
    size = len(dataset)
    chosen = np.zeros(size, dtype=bool)
    chosen[np.random.default_rng(0).permutation(size)[:max_features]] = True
    record, vectors, done = PredictionRecord(), [], 0
    for batch in track(loader, f'predicting {title}', console=Console(stderr=True)):
        data = model.data_preprocessor(batch, training=False)
        feats = model.extract_feat(data['inputs'])
        samples = model.head.predict(feats, data['data_samples'])
        record.process(batch, [sample.to_dict() for sample in samples])
        kept = torch.from_numpy(chosen[done : done + len(samples)]).to(feats[0].device)
        units = [normalize(feat[kept].flatten(1).float(), dim=1) for feat in feats]
        vectors.append(torch.cat(units, dim=1).cpu())
        done += len(samples)
    record.evaluate(size=size)
    assert record.predictions is not None  # this is the only process
    return record.predictions, Features(np.flatnonzero(chosen), torch.cat(vectors).numpy())
