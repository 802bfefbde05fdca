"""CIFAR's AutoAugment policy for a batch."""

from collections import defaultdict

import torch
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy
from torchvision.transforms.autoaugment import _apply_op

from ecl.datasets.transforms.batch.uint8_ops import WARPS, adjust_sharpness, equalize, warp
from ecl.registry import TRANSFORMS
from ecl.settings import check_whole


@TRANSFORMS.register_module()
class BatchCIFARAutoAugment:
    """:class:`CIFARAutoAugment` with a sub-policy of each image's own.

    Images that drew the same operation go through it together.

    Args:
        fill: Value of the pixels that a rotation or shear uncovers, 0 to 255.
    """

    def __init__(self, fill: int = 128) -> None:
        check_whole(self, at_least=0, at_most=255, fill=fill)
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
