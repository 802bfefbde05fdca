"""Colour jitter, greyscale and Gaussian blur of a whole batch; see :mod:`.batch_geometry`."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from ecl.datasets.batch_geometry import apply_where, constant, draw
from ecl.registry import TRANSFORMS
from ecl.settings import Number, Range, validate_params

#: The adjustments of a colour jitter. All except the last mix an image with an image derived from
#: it.
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
#: Shares of red, green and blue in a grey value.
GREY = (0.2989, 0.587, 0.114)
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def grey_values(images: Tensor) -> Tensor:
    """Return the grey values (N, 1, H, W) of images (N, 3, H, W), in float32."""
    return (images * constant(GREY, images.device).view(3, 1, 1)).sum(1, keepdim=True)


def blend_matrices(factor: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
    """Return the matrices of an adjustment of brightness, contrast or saturation.

    It mixes an image with black, with the mean of its grey values, or with its grey values, so the
    new colour is a matrix times the colour plus another one times the mean colour of the image.

    Args:
        factor: Share of the image itself, of any shape (...).
        kind: One of the three adjustments, of the same shape.

    Returns:
        The two matrices, (..., 3, 3).
    """
    factor, kind = factor[..., None, None], kind[..., None, None]
    to_grey = (1 - factor) * constant(GREY, factor.device)
    own = factor * constant(IDENTITY, factor.device)
    return own + (kind == SATURATION) * to_grey, (kind == CONTRAST) * to_grey.expand_as(own)


def apply_matrices(images: Tensor, of_pixel: Tensor, of_mean: Tensor) -> Tensor:
    """Apply matrices (N, 3, 3) to the colours of pixels and the mean colour of each image."""
    colours = images.flatten(2)
    shift = of_mean @ colours.mean(2, keepdim=True)
    return torch.baddbmm(shift, of_pixel, colours).clamp_(0, 255).view_as(images)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hues of images by a share (N, 1, 1, 1) of the colour wheel, in [-0.5, 0.5].

    The difference between a channel and the largest one, relative to their span, depends only on
    the hue. So the conversion back to RGB needs no cases for the sixths of the wheel.
    """
    red, green, blue = images.unbind(1)
    largest, smallest = images.amax(1), images.amin(1)
    span = largest - smallest
    turn = torch.where(
        largest == red,
        green - blue,
        torch.where(
            largest == green,
            torch.add(blue - red, span, alpha=2),
            torch.add(red - green, span, alpha=4),
        ),
    )
    # In sixths of the wheel. Where the span is 0, the hue has no effect.
    hue = torch.add(turn / span.clamp(min=1e-6), shift.squeeze(1), alpha=6)
    offsets = constant((5, 3, 1), hue.device).view(3, 1, 1)
    place = (hue.unsqueeze(1) + offsets).remainder(6)
    short = (2 - (place - 2).abs()).clamp(0, 1)
    return torch.addcmul(largest.unsqueeze(1), span.unsqueeze(1), short, value=-1)


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
        self.ranges = (*ranges, (-hue, hue))
        self.prob = prob

    def __call__(self, images: Tensor) -> Tensor:
        """Jitter images (N, 3, H, W)."""
        kinds, number, device = len(self.ranges), len(images), images.device
        order = torch.rand(number, kinds, device=device).argsort(1).T
        low, high = constant(self.ranges, device).T.unsqueeze(2)
        amounts = low + (high - low) * torch.rand(kinds, number, device=device)
        changed = draw(images, self.prob)
        amounts = amounts.gather(0, order)  # by turn
        turn_of_hue = (order == HUE).int().argmax(0, keepdim=True)
        turns = constant(tuple(range(kinds)), device).unsqueeze(1)
        chosen = torch.stack([turns < turn_of_hue, turns > turn_of_hue]) & changed
        matrices = blend_matrices(torch.where(chosen, amounts, 1), order)
        # The hue, which takes most operations, is adjusted for all images at the same time.
        for turn in range(kinds - 1):
            images = apply_matrices(images, *(each[0, turn] for each in matrices))
        if self.ranges[HUE][1] > 0:
            shift = amounts.gather(0, turn_of_hue).view(-1, 1, 1, 1)
            images = apply_where(changed, adjust_hue, images, shift)
        for turn in range(1, kinds):
            images = apply_matrices(images, *(each[1, turn] for each in matrices))
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
        return torch.where(some, grey_values(images), images)


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
        return apply_where(draw(images, self.prob), self.blur, images, deviation)

    def blur(self, images: Tensor, deviation: Tensor) -> Tensor:
        """Blur images (N, 3, H, W) by standard deviations (N, 1), edges continued."""
        exponents = tuple(-(tap**2) / 2 for tap in range(-self.radius, self.radius + 1))
        kernel = (constant(exponents, images.device) / deviation**2).softmax(1)  # (N, T)
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
