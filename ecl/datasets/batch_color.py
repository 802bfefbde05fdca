"""Colour jitter, greyscale and Gaussian blur of a whole batch; see :mod:`.batch_geometry`."""

import math

import torch
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from ecl.registry import TRANSFORMS
from ecl.settings import Number, Range, validate_params


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * images + (1 - factor) * other).clamp(0, 255)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply images (N, 3, H, W) by a factor (N, 1, 1, 1) each."""
    return (factor * images).clamp(0, 255)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Move images away from (factor above 1) or towards the mean of their grey."""
    return _blend(images, rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Move images away from or towards their grey."""
    return _blend(images, rgb_to_grayscale(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hues of images by a share of the colour wheel, in [-0.5, 0.5].

    A channel falls short of the largest one by at most their span, and by how much depends on the
    hue alone, so the way back to RGB needs no case for each sixth of the wheel.
    """
    red, green, blue = images.unbind(1)
    largest, smallest = images.amax(1), images.amin(1)
    span = largest - smallest
    turn = torch.where(
        largest == red,
        green - blue,
        torch.where(largest == green, blue - red + 2 * span, red - green + 4 * span),
    )
    # In sixths of the wheel; where the span is 0 there is no hue, and none is needed.
    hue = turn / span.clamp(min=1e-6) + 6 * shift.squeeze(1)
    place = hue.unsqueeze(1) + hue.new_tensor([5, 3, 1]).view(3, 1, 1)
    place -= 6 * (place / 6).floor()
    short = (2 - (place - 2).abs()).clamp(0, 1)
    return largest.unsqueeze(1) - span.unsqueeze(1) * short


ADJUSTMENTS = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)


@TRANSFORMS.register_module()
class BatchColorJitter:
    """torchvision's ``ColorJitter``: of each image its own factors, in its own order.

    Args:
        brightness, contrast, saturation: Factors lie within this of 1, and above 0.
        hue: Shifts lie within this of 0; at most 0.5.
        prob: Share of the images that change.
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
        device, kinds = images.device, len(self.adjustments)
        order = torch.rand(len(images), kinds, device=device).argsort(1)
        changed = torch.rand(len(images), 1, device=device) < self.prob
        images = images.clone()
        for turn in range(kinds):
            for kind, (adjust, low, high) in enumerate(self.adjustments):
                chosen = ((order[:, [turn]] == kind) & changed).flatten().nonzero().flatten()
                amount = torch.empty(len(chosen), 1, 1, 1, device=device).uniform_(low, high)
                images[chosen] = adjust(images[chosen], amount)
        return images


@TRANSFORMS.register_module()
class BatchRandomGrayscale:
    """Turn each image grey, in three equal channels, with probability ``prob``."""

    @validate_params(prob=Number(at_least=0, at_most=1))
    def __init__(self, prob: float = 0.1) -> None:
        self.prob = prob

    def __call__(self, images: Tensor) -> Tensor:
        """Grey some of the images (N, 3, H, W)."""
        some = torch.rand(len(images), 1, 1, 1, device=images.device) < self.prob
        return torch.where(some, rgb_to_grayscale(images), images)


@TRANSFORMS.register_module()
class BatchGaussianBlur:
    """MMPretrain's ``GaussianBlur`` with a standard deviation drawn evenly from a range.

    Args:
        magnitude_range: Least and largest standard deviation, in pixels.
        prob: Share of the images that are blurred.
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
        device = images.device
        chosen = (torch.rand(len(images), device=device) < self.prob).nonzero().flatten()
        deviation = torch.empty(len(chosen), 1, device=device).uniform_(*self.magnitude_range)
        images = images.clone()
        images[chosen] = self.blur(images[chosen], deviation)
        return images

    def blur(self, images: Tensor, deviation: Tensor) -> Tensor:
        """Blur images (N, 3, H, W) by standard deviations (N, 1), edges continued."""
        rows, columns = (self._spread(deviation, size).unsqueeze(1) for size in images.shape[2:])
        return rows.transpose(2, 3) @ images @ columns

    def _spread(self, deviation: Tensor, size: int) -> Tensor:
        """Matrices (N, size, size) that map a line of pixels to the blurred line."""
        taps = torch.arange(-self.radius, self.radius + 1, device=deviation.device).unsqueeze(1)
        sources = (torch.arange(size, device=deviation.device) + taps).clamp(0, size - 1)
        kernel = (-(taps**2) / (2 * deviation.unsqueeze(2) ** 2)).softmax(1)
        shape = (len(deviation), *sources.shape)
        matrix = kernel.new_zeros(len(deviation), size, size)
        return matrix.scatter_add_(1, sources.expand(shape), kernel.expand(shape))
