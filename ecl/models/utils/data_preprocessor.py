"""Batches of several views per image, ready for the model."""

from mmpretrain.models.utils import ClsDataPreprocessor
from torch import Tensor

from ecl.registry import MODELS


@MODELS.register_module()
class MultiViewDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's ``ClsDataPreprocessor`` for one view per image or several.

    The parent takes a list of views for a list of images: it skips the change from BGR to RGB and,
    given a batch of three, reverses the order of the batch. Here every view is treated as the
    batch it is, and the labels are packed once.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device, change to RGB, normalise.

        Args:
            data: ``inputs``, images (N, 3, H, W) or a list of V such tensors, one a view, and
                ``data_samples``.
            training: Whether batch augmentations apply (to the first view).

        Returns:
            ``inputs`` of the same structure, in float32, and ``data_samples``.
        """
        pack, views = super().forward, data['inputs']
        if isinstance(views, Tensor) or (isinstance(views[0], Tensor) and views[0].ndim == 3):
            return pack(data, training)
        packed = pack({**data, 'inputs': views[0]}, training)
        others = [pack({'inputs': view})['inputs'] for view in views[1:]]
        return {**packed, 'inputs': [packed['inputs'], *others]}
