"""Predict images from anywhere with a checkpoint alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from mmpretrain.models import BaseClassifier
from PIL import Image, ImageOps

from ecl.apis.config_check import walk
from ecl.apis.inference import build_model, predict_batches, read_config
from ecl.checkpoint_file import load_checkpoint
from ecl.datasets import LoadImage
from ecl.datasets.image_file import inspect_image
from ecl.errors import UserError
from ecl.models.adjustment import adjust as adjust_model
from ecl.registry import TRANSFORMS
from ecl.shots import shot_names

#: Transforms that read a file.
READERS = ('LoadImage', 'LoadImageFromFile')
#: Sizes (height, width) of two images that only a resizing pipeline brings to the same size.
_PROBES = ((620, 490), (530, 710))


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
        checkpoint: A file that a training or ``tools/publish.py`` wrote.
        device: Such as 'cpu' or 'cuda:1'. Default: a GPU if there is one.

    Attributes:
        model: The model, in evaluation mode.
        classes: Names of the classes, length C; numbers where the data had no names.
        class_counts: Training images of each class, length C; None if the checkpoint has no counts.
        shot_groups: 'many', 'medium' or 'few' for each class, or None.
        num_experts: K; 0 for a model without experts.

    Raises:
        UserError: If the file cannot be used.

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
        adjust: str = 'logit-adjustment',
    ) -> None:
        self.model = load_model(checkpoint, device)
        self.device = next(self.model.parameters()).device
        self._pipeline = build_pipeline(self.model._config.test_dataloader.dataset.pipeline)
        self._reader = LoadImage()
        if tau is not None:
            adjust_model(self.model, adjust, tau, self.model._dataset_meta['class_counts'])
        head = self.model.head
        self.num_experts: int = getattr(head, 'num_experts', 0)
        known = self.model._dataset_meta
        names = known['classes'] or range(head.num_classes)
        self.classes = [str(name) for name in names]
        self.class_counts: list[int] | None = known['class_counts']
        self.shot_groups: list[str | None] = (
            [None] * len(self.classes)
            if self.class_counts is None
            else [*shot_names(self.class_counts)]
        )

    def __call__(
        self, images: Sequence[str | Path | Image.Image | np.ndarray], batch_size: int = 32
    ) -> list[Prediction]:
        """Predict images.

        Args:
            images: A list of files, PIL images, or arrays of uint8 in RGB (H, W, 3) or grey (H, W).
            batch_size: Images that pass the network at the same time.

        Returns:
            A prediction for each image.

        Raises:
            UserError: At the first file that is no sound image or array of another kind, or if a
                single image was given.
        """
        if isinstance(images, str | Path | Image.Image) or getattr(images, 'ndim', 4) < 4:
            raise UserError('a predictor takes a list of images: write [image] for a single one')
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
            UserError: If it is a file that is no sound image, or an array of another kind.
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
            if fault := inspect_image(image).fault:
                raise UserError(f'{image}: {fault}')
            return self._reader({'img_path': str(image)})['img']
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or (image.ndim != 2 and image.shape[2:] not in ((3,), (4,))):
                raise UserError(
                    'an array must be of uint8, (H, W) or (H, W, 3), '
                    f'not {image.dtype} {image.shape}'
                )
            image = Image.fromarray(image)
        image = ImageOps.exif_transpose(image)  # as OpenCV does with a file
        if image.mode.startswith('I'):  # 16 bits, of which convert would clip all but the lower 8
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])


def load_model(checkpoint: str | Path, device: str | None = None) -> BaseClassifier:
    """Build the model of a checkpoint to predict with, without its contrastive branch.

    Neither a configuration file nor data are needed, and the file runs no code.

    Args:
        checkpoint: A file that a training or ``tools/publish.py`` wrote.
        device: Such as 'cpu' or 'cuda:1'. Default: a GPU if there is one.

    Returns:
        The model, in evaluation mode. Its attribute ``_config`` is the configuration, with the test
        pipeline of :func:`array_pipeline`. Its attribute ``_dataset_meta`` holds the class names
        (``classes``, or None) and the training images of each class (``class_counts``, or None).

    Raises:
        UserError: If the file cannot be loaded, or lacks what a model needs.
    """
    content = load_checkpoint(checkpoint)
    cfg = read_config(content, checkpoint)
    model = build_model(content, cfg, checkpoint, device)
    meta = content['meta']
    cfg.test_dataloader = dict(dataset=dict(pipeline=array_pipeline(cfg, str(checkpoint))))
    model._config = cfg
    model._dataset_meta = {
        'classes': (meta.get('dataset_meta') or {}).get('classes'),
        'class_counts': meta.get('class_counts'),
    }
    return model


def array_pipeline(cfg: Config, source: str) -> list[ConfigDict]:
    """Return the transforms from an image, as an array in BGR, to the input of the model.

    They are the test pipeline without the transform that reads a file. If that pipeline does not
    resize, as for the arrays of CIFAR, an image is resized and cropped to the size of training.

    Args:
        cfg: A configuration.
        source: Its file name, for error messages.

    Raises:
        UserError: If the configuration does not give the size of an image.
    """
    steps = test_pipeline(cfg)
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    if steps and steps[0]['type'].rpartition('.')[2] in READERS:
        steps = steps[1:]
    elif not preprocessor.get('to_rgb'):  # the dataset's arrays are in RGB, and stay so
        steps = [dict(type='NumpyToPIL', to_rgb=True), dict(type='PILToNumpy'), *steps]
    if len({image_size(steps, probe) for probe in _PROBES}) > 1:
        size = _training_size(cfg, source)
        steps = [
            dict(type='ResizeEdge', scale=size, edge='short', backend='pillow'),
            dict(type='CenterCrop', crop_size=size),
            *steps,
        ]
    return [ConfigDict(step) for step in steps]


def test_pipeline(cfg: Config) -> list[dict]:
    """Return the test pipeline of a configuration, also from inside dataset wrappers."""
    node = cfg.test_dataloader.dataset
    while 'pipeline' not in node and node.get('dataset', node.get('datasets')):
        inner = node.get('dataset', node.get('datasets'))
        node = inner[0] if isinstance(inner, list) else inner
    return list(node.get('pipeline', ()))


def image_size(steps: list[dict], size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the output of a pipeline for an image of ``size`` (h, w)."""
    blank = np.zeros((*size, 3), dtype=np.uint8)
    height, width = build_pipeline(steps)({'img': blank})['inputs'].shape[-2:]
    return height, width


def build_pipeline(steps: list[dict]) -> Compose:
    """Build a pipeline of transforms, from a dict of results to a dict of results."""
    with DefaultScope.overwrite_default_scope('ecl'):
        return Compose([TRANSFORMS.build(dict(step)) for step in steps])


def _training_size(cfg: Config, source: str) -> int:
    nodes = [node for _, node in walk(cfg.get('train_dataloader') or {})]
    for key in ('crop_size', 'scale'):
        for node in nodes:
            size = node.get(key)
            if isinstance(size, int | list | tuple) and 'type' in node:
                return size if isinstance(size, int) else min(size)
    raise UserError(
        f'{source}: neither test nor training pipeline gives the size of an image. '
        'Put a Resize into the test pipeline of the configuration and train again.'
    )
