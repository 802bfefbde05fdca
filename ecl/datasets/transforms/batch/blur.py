"""Gaussian blur of a strength of each image's own."""

import math

import torch
from torch import Tensor

from ecl.registry import TRANSFORMS
from ecl.settings import check_numbers, check_range


@TRANSFORMS.register_module()
class BatchGaussianBlur:
    """MMPretrain's ``GaussianBlur`` with a standard deviation drawn evenly from a range.

    Args:
        magnitude_range: Least and largest standard deviation, in pixels.
        prob: Share of the images that are blurred.
    """

    def __init__(
        self, magnitude_range: tuple[float, float] = (0.1, 2.0), prob: float = 0.5
    ) -> None:
        check_range(self, above=0, magnitude_range=magnitude_range)
        check_numbers(self, at_least=0, at_most=1, prob=prob)
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
