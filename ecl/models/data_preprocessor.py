"""Data preprocessor for one or several views of an image."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from torch import Tensor

from ecl.errors import UserError
from ecl.registry import MODELS, TRANSFORMS


@MODELS.register_module()
class MultiViewDataPreprocessor(ClsDataPreprocessor):
    """Data preprocessor of MMPretrain for one or several views of each image.

    ``ClsDataPreprocessor`` treats a list of views as a list of images: it skips the change from BGR
    to RGB and, for a batch of three, reverses the order of the batch. This class treats every view
    as a batch, and packs the labels once.

    This class can also make the views, for a whole batch on its device. This takes a fraction of
    the time of transforms for single images. Views are made only in training.

    Args:
        views: Transforms of each view, from :mod:`ecl.datasets`, for RGB images. Their input is the
            single view (N, 3, H, W) of the data pipeline, or each of its views. None: the data
            pipeline makes the views.
        *args: As for ``ClsDataPreprocessor``.
        **kwargs: As for ``ClsDataPreprocessor``.

    Raises:
        UserError: If ``views`` are set and ``to_rgb=True``, because the views need RGB images; or,
            in training, if the data pipeline gives another number of views.

    Example:
        >>> flip, crop = dict(type='BatchRandomFlip'), dict(type='BatchRandomCrop', crop_size=8)
        >>> preprocessor = MultiViewDataPreprocessor(views=[[flip], [flip, crop]])
        >>> import torch
        >>> images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
        >>> [view.shape[-1] for view in preprocessor(dict(inputs=images), training=True)['inputs']]
        [16, 8]
    """

    def __init__(
        self, *args: Any, views: Sequence[Sequence[dict]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if views and self.to_rgb:
            raise UserError(
                'data_preprocessor.views are for RGB images: change them to RGB in the data '
                'pipeline and set data_preprocessor.to_rgb=False'
            )
        # MMPretrain has no argument for this: copies from pinned memory do not block.
        self._non_blocking = True
        self.views = [[TRANSFORMS.build(each) for each in view] for view in views or ()]

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Pass the number of training images of each class on to the batch augmentations."""
        for augment in getattr(self.batch_augments, 'augments', ()):
            if hasattr(augment, 'set_class_counts'):
                augment.set_class_counts(counts)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device, apply the views (training), change to RGB, normalise.

        Args:
            data: ``inputs``, images (N, 3, H, W) or a list of V such tensors, one per view, and
                ``data_samples``.
            training: Whether the views, and batch augmentations of the first view, apply.

        Returns:
            ``inputs`` in float32, a tensor (N, 3, H, W), or a list of V such tensors for V > 1
            views; and ``data_samples``.
        """
        if training and self.views:
            data = {**data, 'inputs': self._augment(self.cast_data(data['inputs']))}
        pack, views = super().forward, data['inputs']
        if isinstance(views, Tensor) or (isinstance(views[0], Tensor) and views[0].ndim == 3):
            return pack(data, training)
        packed = pack({**data, 'inputs': views[0]}, training)
        others = [pack({'inputs': view})['inputs'] for view in views[1:]]
        return {**packed, 'inputs': [packed['inputs'], *others]}

    def _augment(self, images: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
        if isinstance(images, list) and images[0].ndim == 3:  # of MMEngine's pseudo_collate
            images = torch.stack(images)
        if isinstance(images, list):
            given = [view.float() for view in images]
        else:
            given = [images.float()] * len(self.views)
        if len(given) != len(self.views):
            raise UserError(
                f'data_preprocessor.views: got {len(self.views)} views, expected {len(given)}, '
                'one for each view of the data pipeline'
            )
        # Without autocast: bfloat16 has 8 bits of mantissa and would round the pixels.
        with torch.autocast(given[0].device.type, enabled=False):
            views = [
                reduce(lambda x, change: change(x), view, source)
                for view, source in zip(self.views, given, strict=True)
            ]
        return views if len(views) > 1 else views[0]
