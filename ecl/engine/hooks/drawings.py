"""Draw the test images with their predictions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer
from torch import Tensor

from ecl.registry import HOOKS
from ecl.weights import bare_model

#: Pixels of the short side below which an image is enlarged, so that the words on it are legible.
LEGIBLE = 256


@HOOKS.register_module()
class DrawPredictionsHook(Hook):
    """Draw each test image with its label and prediction, each in a file of its own.

    MMPretrain's ``VisualizationHook`` confuses BGR with RGB, uses only the last part of a path as
    file name, which may be the same in several classes, and draws only images of the main process.

    Small images are enlarged by a whole number, so that the words on them are legible.

    Args:
        out_dir: Folder of the files ``<place in the test data>_<name of the image>.png``.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)
        self._drawn = 0

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Sequence[DataSample] | None = None,
    ) -> None:
        """Draw the images of a batch, of several views the first."""
        images: Any = data_batch['inputs']
        if not isinstance(images[0], Tensor) or images[0].ndim == 4:
            images = images[0]  # the first of several views, as of test-time augmentation
        preprocessor: Any = bare_model(runner.model).data_preprocessor
        # Every process draws its own images.
        draw = UniversalVisualizer.visualize_cls.__wrapped__
        for image, sample in zip(images, outputs or (), strict=True):
            pixels = image.permute(1, 2, 0).cpu().numpy().astype('uint8')
            factor = max(1, LEGIBLE // min(pixels.shape[:2]))
            pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
            place = runner.world_size * self._drawn + runner.rank
            name = f'{place:06d}_{Path(sample.get("img_path", "")).stem}'.rstrip('_')
            draw(
                runner.visualizer,
                mmcv.bgr2rgb(pixels) if preprocessor.to_rgb else pixels,
                sample,
                out_file=str(self.out_dir / f'{name}.png'),
            )
            self._drawn += 1
