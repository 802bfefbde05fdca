"""Colour jitter, greyscale and Gaussian blur of a whole batch; see :mod:`.batch_geometry`."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from ecl.datasets.batch_geometry import apply_where, draw
from ecl.registry import TRANSFORMS
from ecl.settings import Number, Range, validate_params


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * images + (1 - factor) * other).clamp(0, 255)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply images (N, 3, H, W) by a factor (N, 1, 1, 1)."""
    return (factor * images).clamp(0, 255)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Mix images with the mean of their grey values by a factor (N, 1, 1, 1)."""
    return _blend(images, rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Mix images with their grey values by a factor (N, 1, 1, 1)."""
    return _blend(images, rgb_to_grayscale(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hues of images by a share (N, 1, 1, 1) of the colour wheel, in [-0.5, 0.5].

    A channel is below the largest one by a share of their span that depends on the hue alone, so
    that the way back to RGB needs no case for each sixth of the wheel.
    """
    red, green, blue = images.unbind(1)
    largest, smallest = images.amax(1), images.amin(1)
    span = largest - smallest
    turn = torch.where(
        largest == red,
        green - blue,
        torch.where(largest == green, blue - red + 2 * span, red - green + 4 * span),
    )
    # In sixths of the wheel. Where the span is 0, the hue has no effect.
    hue = turn / span.clamp(min=1e-6) + 6 * shift.squeeze(1)
    offsets = torch.arange(5, 0, -2, device=hue.device).view(3, 1, 1)  # 5, 3, 1
    place = hue.unsqueeze(1) + offsets
    place -= 6 * (place / 6).floor()
    short = (2 - (place - 2).abs()).clamp(0, 1)
    return largest.unsqueeze(1) - span.unsqueeze(1) * short


ADJUSTMENTS = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)


@TRANSFORMS.register_module()
class BatchColorJitter:
    """torchvision's ``ColorJitter``, with factors and an order drawn for each image.

    Args:
        brightness, contrast, saturation: Largest distance of a factor from 1; factors are at least
            0.
        hue: Largest shift of the hue, at most 0.5.
        prob: Probability that an image changes.
    """

    @validate_params(
        brightness=Number(at_least=0),
        contrast=Number(at_least=0),
        saturation=Number(at_least=0),
        hue=Number(at_least=0, at_most=0.5),
        prob=Number(at_least=0, at_most=1),
    )
    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        prob: float = 1.0,
    ) -> None:
        ranges = [(max(0.0, 1 - by), 1 + by) for by in (brightness, contrast, saturation)]
        pairs = zip(ADJUSTMENTS, [*ranges, (-hue, hue)], strict=True)
        self.adjustments = [(adjust, low, high) for adjust, (low, high) in pairs if low < high]
        self.prob = prob

    def __call__(self, images: Tensor) -> Tensor:
        """Jitter images (N, 3, H, W)."""
        kinds, number = len(self.adjustments), len(images)
        order = torch.rand(number, kinds, device=images.device).argsort(1)
        amounts = torch.rand(kinds, number, 1, 1, 1, device=images.device)
        changed = draw(images, self.prob)
        images = images.clone()
        for turn in range(kinds):
            for kind, (adjust, low, high) in enumerate(self.adjustments):
                chosen = (order[:, turn] == kind) & changed
                amount = low + (high - low) * amounts[kind]
                images = apply_where(chosen, adjust, images, amount)
        return images


@TRANSFORMS.register_module()
class BatchRandomGrayscale:
    """Greyscale in three equal channels.

    Args:
        prob: Probability that an image turns grey.
    """

    @validate_params(prob=Number(at_least=0, at_most=1))
    def __init__(self, prob: float = 0.1) -> None:
        self.prob = prob

    def __call__(self, images: Tensor) -> Tensor:
        """Turn some of the images (N, 3, H, W) grey."""
        some = draw(images, self.prob).view(-1, 1, 1, 1)
        return torch.where(some, rgb_to_grayscale(images), images)


@TRANSFORMS.register_module()
class BatchGaussianBlur:
    """MMPretrain's ``GaussianBlur``, with a standard deviation drawn for each image.

    Args:
        magnitude_range: Smallest and largest standard deviation, in pixels.
        prob: Probability that an image is blurred.
    """

    @validate_params(magnitude_range=Range(above=0), prob=Number(at_least=0, at_most=1))
    def __init__(
        self, magnitude_range: tuple[float, float] = (0.1, 2.0), prob: float = 0.5
    ) -> None:
        self.magnitude_range = magnitude_range
        self.prob = prob
        self.radius = math.ceil(3 * magnitude_range[1])

    def __call__(self, images: Tensor) -> Tensor:
        """Blur some of the images (N, 3, H, W)."""
        low, high = self.magnitude_range
        deviation = low + (high - low) * torch.rand(len(images), 1, device=images.device)
        return apply_where(draw(images, self.prob), self.blur, images.clone(), deviation)

    def blur(self, images: Tensor, deviation: Tensor) -> Tensor:
        """Blur images (N, 3, H, W) by standard deviations (N, 1), edges continued."""
        taps = torch.arange(-self.radius, self.radius + 1, device=images.device)
        kernel = (-(taps**2) / (2 * deviation**2)).softmax(1)  # (N, T)
        # Matrices (N, 1, size, size) that map a line of pixels to the blurred line.
        matrices = {
            size: torch.tensordot(kernel, source_matrices(size, self.radius, images.device), 1)
            for size in set(images.shape[2:])
        }
        rows, columns = (matrices[size].unsqueeze(1) for size in images.shape[2:])
        return rows.transpose(2, 3) @ images @ columns


@lru_cache(maxsize=8)
def source_matrices(size: int, radius: int, device: torch.device) -> Tensor:
    """Return, for each shift from -radius to radius, the matrix that shifts a line of pixels.

    Entry (t, i, j) of the result (T, size, size), float32, is 1 where pixel i is the source of
    pixel j, else 0. Pixels outside are those of the edge.
    """
    shifts = torch.arange(-radius, radius + 1, device=device).unsqueeze(1)
    pixels = torch.arange(size, device=device)
    sources = (pixels + shifts).clamp(0, size - 1)  # (T, size)
    return (pixels.unsqueeze(1) == sources.unsqueeze(1)).float()
