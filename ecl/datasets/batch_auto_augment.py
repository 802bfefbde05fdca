"""CIFAR's AutoAugment for a whole batch; see :mod:`.batch_geometry`.

The operations map uint8 images (N, 3, H, W) to the same values as torchvision's.
"""

from collections import defaultdict
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.autoaugment import _apply_op

from ecl.registry import TRANSFORMS
from ecl.settings import Whole, validate_params


@TRANSFORMS.register_module()
class BatchCIFARAutoAugment:
    """:class:`CIFARAutoAugment` with a sub-policy of each image's own.

    Images that drew the same operation go through it together.

    Args:
        fill: Value of the pixels that a rotation or shear uncovers, 0 to 255.
    """

    @validate_params(fill=Whole(at_least=0, at_most=255))
    def __init__(self, fill: int = 128) -> None:
        self.fill = fill
        self.policy = AutoAugment(AutoAugmentPolicy.CIFAR10, fill=[fill] * 3)

    def __call__(self, images: Tensor) -> Tensor:
        """Apply the policy to images (N, 3, H, W); the result has whole numbers."""
        space = self.policy._augmentation_space(10, images.shape[2:])
        drawn = torch.randint(len(self.policy.policies), (len(images),)).tolist()
        images = images.round().clamp(0, 255).to(torch.uint8)
        for place in range(2):
            probability = torch.rand(len(drawn)).tolist()
            negative = (torch.rand(len(drawn)) < 0.5).tolist()
            groups = defaultdict(list)
            for index, policy in enumerate(drawn):
                name, prob, level = self.policy.policies[policy][place]
                if probability[index] <= prob:
                    magnitudes, signed = space[name]
                    magnitude = 0.0 if level is None else float(magnitudes[level])
                    sign = -1 if signed and negative[index] else 1
                    groups[name, sign * magnitude].append(index)
            for (name, magnitude), members in groups.items():
                images[members] = self._apply(images[members], name, magnitude)
        return images.float()

    def _apply(self, images: Tensor, name: str, magnitude: float) -> Tensor:
        if name in WARPS:
            return warp(images, name, magnitude, self.fill)
        if name == 'Equalize':
            return equalize(images)
        if name == 'Sharpness':
            return adjust_sharpness(images, 1 + magnitude)
        return _apply_op(images, name, magnitude, self.policy.interpolation, self.policy.fill)


WARPS = frozenset({'ShearX', 'ShearY', 'TranslateX', 'TranslateY', 'Rotate'})


@lru_cache(maxsize=256)
def _sources(height: int, width: int, name: str, magnitude: float, device: torch.device) -> Tensor:
    """Of each pixel of a warped image the one that it is a copy of; H x W stands for none."""
    pixels = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    moved = _apply_op(
        pixels, name, magnitude, InterpolationMode.NEAREST, fill=[float(height * width)]
    )
    return moved.flatten().long().to(device)


def warp(images: Tensor, name: str, magnitude: float, fill: int) -> Tensor:
    """Shear, shift or turn by nearest neighbours, uncovering ``fill``."""
    sources = _sources(*images.shape[2:], name, magnitude, images.device)
    padded = F.pad(images.flatten(2), [0, 1], value=fill)
    return padded[:, :, sources].view_as(images)


def equalize(images: Tensor) -> Tensor:
    """Make the histogram of every channel of every image flat."""
    values = images.flatten(0, 1).flatten(1).long()
    counts = values.new_zeros(len(values), 256).scatter_add_(1, values, torch.ones_like(values))
    of_largest = counts.gather(1, values.amax(1, keepdim=True))
    step = (values.size(1) - of_largest) // 255
    below = counts.cumsum(1) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    table[:, :1] = 0
    equal = table.gather(1, values)
    return torch.where(step > 0, equal, values).to(torch.uint8).view_as(images)


def adjust_sharpness(images: Tensor, factor: float) -> Tensor:
    """Move images away from (factor above 1) or towards their smoothed form."""
    sharp = images.float()
    rows = sharp[:, :, :-2] + sharp[:, :, 1:-1] + sharp[:, :, 2:]
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = sharp.clone()
    smooth[:, :, 1:-1, 1:-1] = ((box + 4 * sharp[:, :, 1:-1, 1:-1]) / 13).round()
    return (factor * sharp + (1 - factor) * smooth).clamp(0, 255).to(torch.uint8)
