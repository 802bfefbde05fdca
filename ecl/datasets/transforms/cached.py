"""Remember what the deterministic first steps of a pipeline give."""

from copy import deepcopy

from mmcv.transforms import BaseTransform

from ecl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Cached(BaseTransform):
    """Run transforms once for each image, and from then on repeat their outcome from memory.

    For data small enough to keep in memory as they leave these transforms, with ``num_workers=0``.
    Workers are processes: each keeps images of its own, and loses them when it ends, which without
    ``persistent_workers`` is after every epoch.

    An image goes by its ``img_path``, or by its ``sample_idx`` where it comes from no file, so one
    instance serves one dataset. What the transforms add or replace is kept; later transforms get
    copies, which they may write into.

    Args:
        transforms: Configs of the transforms, such as reading and resizing. They must not draw
            random numbers (an image would keep its first draw), nor write into arrays that they
            were given.

    Example:
        >>> pipeline = [
        ...     dict(
        ...         type='Cached',
        ...         transforms=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=16)],
        ...     ),
        ...     dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        ... ]
    """

    def __init__(self, transforms: list[dict]) -> None:
        self.transforms = [TRANSFORMS.build(transform) for transform in transforms]
        self._kept: dict[str | int, dict] = {}

    def transform(self, results: dict) -> dict:
        """Apply the transforms, or what they gave for this image before."""
        key = results['img_path'] if 'img_path' in results else results['sample_idx']
        if key not in self._kept:
            outcome = dict(results)
            for transform in self.transforms:
                outcome = transform(outcome)
            self._kept[key] = {
                name: value
                for name, value in outcome.items()
                if name not in results or value is not results[name]
            }
        return results | deepcopy(self._kept[key])
