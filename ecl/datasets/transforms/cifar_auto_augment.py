"""CIFAR's AutoAugment policy, on the arrays that MMPretrain's transforms pass on."""

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from ecl.registry import TRANSFORMS
from ecl.settings import check_whole


@TRANSFORMS.register_module()
class CIFARAutoAugment(BaseTransform):
    """The 25 sub-policies that AutoAugment (CVPR 2019) found on CIFAR-10, by torchvision.

    MMPretrain has the policies of ImageNet and RandAugment only, and a config cannot name
    torchvision's policy, an enumeration. Reads and writes ``img``, an array (H, W, 3) of uint8 in
    RGB.

    Args:
        fill: Value of the pixels that a rotation or shear uncovers, 0 to 255.

    Raises:
        UserError: If ``fill`` is none of these.
    """

    def __init__(self, fill: int = 128) -> None:
        check_whole(self, at_least=0, at_most=255, fill=fill)
        self.policy = AutoAugment(AutoAugmentPolicy.CIFAR10, fill=[fill] * 3)

    def transform(self, results: dict) -> dict:
        """Apply one sub-policy drawn by torch's generator."""
        results['img'] = np.array(self.policy(Image.fromarray(results['img'])))
        return results
