"""Gaussian blur of a strength of each image's own."""

import math

import torch
import torch.nn.functional as F
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
        taps = torch.arange(-self.radius, self.radius + 1, device=images.device)
        kernel = (-(taps**2) / (2 * deviation**2)).softmax(1)
        for padding, dim in (([self.radius] * 2, 3), ([0, 0] + [self.radius] * 2, 2)):
            windows = F.pad(images, padding + [0] * (4 - len(padding)), mode='replicate')
            images = torch.einsum('nchwt,nt->nchw', windows.unfold(dim, len(taps), 1), kernel)
        return images
