"""Predictions for images from anywhere, from a checkpoint alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import default_collate
from PIL import Image, ImageOps

from ecl.apis.model import build_pipeline, load_model
from ecl.datasets.image_file import inspect_image
from ecl.datasets.transforms import LoadImage
from ecl.errors import UserError
from ecl.shots import shot_names


@dataclass
class Prediction:
    """What a model says about one image.

    Attributes:
        scores: Probability of each class by the whole model, (C,).
        expert_scores: The same by each expert alone, (K, C); K is 0 for a model without experts.
    """

    scores: np.ndarray
    expert_scores: np.ndarray


@dataclass
class Guess:
    """One of the classes that an image may show.

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
    """Classifies images with a trained model.

    The checkpoint brings its configuration and class names along, so one file is enough. It runs no
    code; see :func:`ecl.apis.model.load_model`.

    Args:
        checkpoint: A file that a training or ``tools/publish.py`` wrote.
        device: Such as 'cpu' or 'cuda:1'. By default a GPU if there is one.

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

    def __init__(self, checkpoint: str | Path, device: str | None = None) -> None:
        self.model = load_model(checkpoint, device)
        self.device = next(self.model.parameters()).device
        self._pipeline = build_pipeline(self.model._config.test_dataloader.dataset.pipeline)
        self._reader = LoadImage()
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
        """Bring one image through the test pipeline.

        Args:
            image: As in a call.

        Returns:
            ``inputs``, the tensor (3, h, w) of uint8 that the model's preprocessor takes, and
            ``data_samples``, an empty data sample.

        Raises:
            UserError: If it is a file that is no sound image, or an array of another kind.
        """
        return self._pipeline({'img': self._read(image)})

    @torch.inference_mode()
    def predict_batch(self, prepared: Sequence[dict[str, Any]]) -> list[Prediction]:
        """Predict images that :meth:`prepare` made ready, all of them at once."""
        samples = self.model.test_step(default_collate(list(prepared)))
        none = torch.empty(0, len(self.classes))
        return [
            Prediction(
                sample.pred_score.float().cpu().numpy(),
                sample.get('expert_scores', none).float().cpu().numpy(),
            )
            for sample in samples
        ]

    def top(self, prediction: Prediction, k: int = 5, expert: int | None = None) -> list[Guess]:
        """The most probable classes of an image, best first.

        Args:
            prediction: Of this predictor.
            k: How many, at most C.
            expert: Whose opinion, 0 to K - 1; None is the whole model's.

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
        """An image as an array (H, W, 3) in BGR."""
        if isinstance(image, str | Path):
            # Training reads leniently: it takes the grey half of a truncated file for its lower.
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
