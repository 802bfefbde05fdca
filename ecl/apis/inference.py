"""Predict data sets and single images with a checkpoint."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader

from ecl.apis.checkpoint import find_checkpoint, read_config
from ecl.apis.config import merge_options
from ecl.apis.config_check import check_config
from ecl.apis.models import build_model, build_pipeline, load_model
from ecl.checkpoint_file import load_checkpoint
from ecl.datasets.image_file import on_white, read_image
from ecl.errors import UserError
from ecl.evaluation import PredictionRecord, Predictions
from ecl.models.adjustment import adjust as adjust_model
from ecl.settings import Number, SettingError, Whole, validate_params
from ecl.shots import configured_thresholds, shot_names


@torch.inference_mode()
def predict_batches(
    model: BaseModel, batches: Iterable[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], list[DataSample]]]:
    """Predict batches one after another.

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


def build_loader(cfg: Config, key: str = 'test_dataloader') -> DataLoader:
    """Build the data loader of the test data of a configuration, or of another key."""
    with DefaultScope.overwrite_default_scope('ecl'):
        return Runner.build_dataloader(cfg[key])


def evaluate_checkpoint(
    checkpoint: str | Path,
    metric: BaseMetric,
    cfg_options: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> dict[str, float]:
    """Predict the test images of a checkpoint with the configuration in it.

    Args:
        checkpoint: A checkpoint file, or the work dir of a training.
        metric: Receives every prediction, and the class counts if it has ``set_class_counts``.
        cfg_options: Values by dotted key that replace those of the configuration, such as
            ``{'test_dataloader.dataset.data_root': 'elsewhere'}``.
        device: Such as 'cpu' or 'cuda:1'. Default: a GPU if there is one.

    Returns:
        The result of the metric.

    Raises:
        UserError: If checkpoint or data cannot be used.
    """
    checkpoint = find_checkpoint(checkpoint)
    content = load_checkpoint(checkpoint)
    cfg = read_config(content, checkpoint)
    if cfg_options:
        merge_options(cfg, cfg_options, str(checkpoint))
        check_config(cfg, str(checkpoint))
    model = build_model(content, cfg, checkpoint, device)
    if hasattr(metric, 'set_class_counts'):
        metric.set_class_counts(content['meta'].get('class_counts'))
    return predict_dataset(model, build_loader(cfg), metric, str(checkpoint))


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


@dataclass
class Prediction:
    """Probabilities of one image.

    Attributes:
        scores: Probability of each class by the whole model, (C,), float32.
        expert_scores: The same by each expert alone, (K, C); K is 0 for a model without experts.
    """

    scores: np.ndarray
    expert_scores: np.ndarray


@dataclass
class Guess:
    """One of the most probable classes of an image.

    Attributes:
        label: Index of the class.
        name: Its name.
        score: Its probability.
        shot_group: 'many', 'medium' or 'few', by its training images; None if they are unknown.
    """

    label: int
    name: str
    score: float
    shot_group: str | None


class Predictor:
    """Classify images with a trained model.

    A checkpoint holds its configuration and class names, so one file is enough; see
    :func:`load_model`. MMPretrain's ``ImageClassificationInferencer(load_model(path))`` works too,
    but it returns no scores of the experts and accepts damaged images.

    Args:
        checkpoint: A file of a training or of ``ecl publish``, the work dir of a training, or the
            name of a shipped model.
        device: Such as 'cpu' or 'cuda:1'. Default: a GPU if there is one.
        tau: Strength of an adjustment of the classifiers. None changes nothing.
        adjust: Its method, ``'logit-adjustment'`` (default), ``'tau-norm'`` or another key of
            :data:`~ecl.models.adjustment.ADJUSTMENTS`; only together with ``tau``.

    Attributes:
        model: The model, in evaluation mode.
        classes: Names of the classes, length C; numbers where the data had no names.
        class_counts: Training images of each class, length C; None if the checkpoint has no counts.
        shot_groups: 'many', 'medium' or 'few' for each class, length C; None without a count.
        num_experts: K; 0 for a model without experts.

    Raises:
        UserError: If the file or the adjustment cannot be used.

    Example:
        >>> predictor = Predictor('work_dirs/ecl_r8_digits-lt/epoch_60.pth')  # doctest: +SKIP
        >>> prediction, = predictor(['seven.png'])  # doctest: +SKIP
        >>> predictor.top(prediction, k=1)  # doctest: +SKIP
        [Guess(label=7, name='7', score=0.98, shot_group='few')]
    """

    def __init__(
        self,
        checkpoint: str | Path,
        device: str | None = None,
        tau: float | None = None,
        adjust: str | None = None,
    ) -> None:
        if tau is not None and not Number().admits(tau):
            raise SettingError(self, 'tau', tau, str(Number()))
        if adjust is not None and tau is None:
            raise UserError(f'adjust {adjust}: got no strength. Give tau, such as 1.')
        self.model = load_model(checkpoint, device)
        self.device = next(self.model.parameters()).device
        self._pipeline = build_pipeline(self.model._config.test_dataloader.dataset.pipeline)
        if tau is not None:
            counts = self.model._dataset_meta['class_counts']
            adjust_model(self.model, adjust or 'logit-adjustment', tau, counts)
        head = self.model.head
        self.num_experts: int = getattr(head, 'num_experts', 0)
        known = self.model._dataset_meta
        names = known['classes'] or range(head.num_classes)
        self.classes = [str(name) for name in names]
        self.class_counts: list[int] | None = known['class_counts']
        self.shot_groups: list[str | None] = (
            [None] * len(self.classes)
            if self.class_counts is None
            else [*shot_names(self.class_counts, configured_thresholds(self.model._config))]
        )

    @validate_params(batch_size=Whole(at_least=1))
    def __call__(
        self, images: Iterable[str | Path | Image.Image | np.ndarray], batch_size: int = 32
    ) -> list[Prediction]:
        """Predict images.

        Args:
            images: Files, PIL images, or arrays of uint8 in RGB (H, W, 3), RGBA (H, W, 4) or grey
                (H, W). Transparent parts become white.
            batch_size: Images in one forward pass.

        Returns:
            A prediction for each image.

        Raises:
            UserError: If a file is not a valid image, an array has another shape or type, a single
                image was given instead of a list, or ``batch_size`` is below 1.
        """
        if isinstance(images, str | Path | Image.Image) or _is_image(images):
            raise UserError('a predictor takes a list of images: write [image] for a single one')
        images = list(images)
        return [
            prediction
            for start in range(0, len(images), batch_size)
            for prediction in self.predict_batch(
                [self.prepare(image) for image in images[start : start + batch_size]]
            )
        ]

    def prepare(self, image: str | Path | Image.Image | np.ndarray) -> dict[str, Any]:
        """Apply the test pipeline to one image.

        Args:
            image: As in a call.

        Returns:
            ``inputs``, the tensor (3, h, w) of uint8 that the model's preprocessor takes, and
            ``data_samples``, an empty data sample.

        Raises:
            UserError: If the file is not a valid image, or the array has another shape or type.
        """
        return self._pipeline({'img': self._read(image)})

    def predict_batch(self, prepared: Sequence[dict[str, Any]]) -> list[Prediction]:
        """Predict the results of :meth:`prepare` as one batch."""
        ((_, samples),) = predict_batches(self.model, [default_collate(list(prepared))])
        none = torch.empty(0, len(self.classes))
        return [
            Prediction(
                sample.pred_score.float().cpu().numpy(),
                sample.get('expert_scores', none).float().cpu().numpy(),
            )
            for sample in samples
        ]

    def top(self, prediction: Prediction, k: int = 5, expert: int | None = None) -> list[Guess]:
        """Return the most probable classes of an image, best first.

        Args:
            prediction: Of this predictor.
            k: How many, at most C.
            expert: Scores of this expert, 0 to K - 1; None for the whole model.

        Raises:
            UserError: If there is no such expert.
        """
        if expert is not None and not 0 <= expert < self.num_experts:
            raise UserError(f'there is no expert {expert}: the model has {self.num_experts}')
        scores = prediction.scores if expert is None else prediction.expert_scores[expert]
        return [
            Guess(label, self.classes[label], float(scores[label]), self.shot_groups[label])
            for label in np.argsort(-scores, kind='stable')[:k].tolist()
        ]

    def _read(self, image: str | Path | Image.Image | np.ndarray) -> np.ndarray:
        """Return an image as an array (H, W, 3) in BGR."""
        if isinstance(image, str | Path):
            return read_image(image)
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or (image.ndim != 2 and image.shape[2:] not in ((3,), (4,))):
                raise UserError(
                    'an array must be of uint8, (H, W), (H, W, 3) or (H, W, 4), '
                    f'not {image.dtype} {image.shape}'
                )
            image = Image.fromarray(image)
        if not isinstance(image, Image.Image):
            raise UserError(
                f'image: got {type(image).__name__}, expected a file, a PIL image or an array of '
                'uint8.'
            )
        if image.mode in ('F', 'I') or 0 in image.size:
            raise UserError(
                f'image: got mode {image.mode!r}, size {image.size}, expected 8 or 16 bits a '
                'channel, and pixels.'
            )
        image = ImageOps.exif_transpose(image)  # as OpenCV does with a file
        if image.mode.startswith('I;16'):  # convert would clip all but the lower 8 bits
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return np.ascontiguousarray(np.asarray(on_white(image))[..., ::-1])


def _is_image(images: Any) -> bool:
    """Return whether an array holds one image, (H, W) or (H, W, 3) or (H, W, 4)."""
    if not isinstance(images, np.ndarray) or images.dtype.kind in 'OSU':  # such as paths
        return False
    return images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (3, 4))
