"""Test images that a model gets right and wrong."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ecl.apps.report.run import Run
from ecl.shots import shot_groups

#: Images of each kind in each shot group.
PER_GROUP = 4
#: Longest side of an image on the page, in pixels.
SIDE = 160


@dataclass
class Sample:
    """A test image with its prediction.

    Attributes:
        source: The image as a data address.
        true: Name of its class.
        predicted: Name of the predicted class.
        confidence: Probability of that, in percent.
        right: Whether the two are the same.
    """

    source: str
    true: str
    predicted: str
    confidence: float
    right: bool


def sample_images(run: Run) -> dict[str, list[Sample]]:
    """Draw right and wrong images of each shot group at random (seed 0).

    Args:
        run: A run.

    Returns:
        By group, up to four that are right, then up to four that are wrong.
    """
    labels, right = run.predictions.labels, run.predictions.right[0]
    rng = np.random.default_rng(0)
    samples = {}
    for group, classes in shot_groups(run.class_counts, run.thresholds).items():
        members = np.isin(labels, classes)
        drawn = [
            rng.permutation(np.flatnonzero(members & kind))[:PER_GROUP] for kind in (right, ~right)
        ]
        if members.any():
            samples[group] = [_sample(run, int(index)) for index in np.concatenate(drawn)]
    return samples


def _sample(run: Run, index: int) -> Sample:
    predictions = run.predictions
    return Sample(
        source=_data_address(run, index),
        true=run.class_names[predictions.labels[index]],
        predicted=run.class_names[predictions.predicted[0, index]],
        confidence=100 * float(predictions.confidence[0, index]),
        right=bool(predictions.right[0, index]),
    )


def _data_address(run: Run, index: int) -> str:
    pixels = np.asarray(run.dataset[index]['inputs']).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1] if run.to_rgb else pixels))
    image.thumbnail((SIDE, SIDE))
    kind = 'png' if max(image.size) <= 64 else 'jpeg'
    file = io.BytesIO()
    image.save(file, format=kind)
    return f'data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}'
