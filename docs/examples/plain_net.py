"""A backbone: convolutions without shortcuts."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from ecl.registry import MODELS


@MODELS.register_module()
class PlainNet(BaseModule):
    """Three stages of one convolution, each halving the image.

    Args:
        widths: Channels of the stages.
        init_cfg: As in MMEngine.
    """

    def __init__(
        self, widths: tuple[int, ...] = (16, 32, 64), init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        pairs = zip((3, *widths), widths, strict=False)
        self.stages = nn.Sequential(*(self._stage(*pair) for pair in pairs))

    @staticmethod
    def _stage(narrow: int, wide: int) -> nn.Sequential:
        convolution = nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(wide), nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map images (N, 3, H, W) to a tuple whose last entry is the map (N, D, h, w)."""
        return (self.stages(x),)
