"""CIFAR's AutoAugment and RandAugment for a whole batch; see :mod:`.batch_geometry`.

The operations map uint8 images (N, 3, H, W) to the same values as torchvision's. Each image takes
the parameters of its operation from tables that lie on its device.
"""

from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.autoaugment import _apply_op
from torchvision.transforms.functional import rgb_to_grayscale

from ecl.datasets.batch_geometry import apply_where
from ecl.registry import TRANSFORMS
from ecl.settings import Whole, validate_params

#: Operations that move pixels, and those that map pixel values by one table.
MOVES = ('ShearX', 'ShearY', 'TranslateX', 'TranslateY', 'Rotate')
MAPS = ('Brightness', 'Posterize', 'Solarize', 'SolarizeAdd', 'Invert')
#: What is computed in the same way, each beside those above by the name of its operation.
GROUPS = ('move', 'map', 'Contrast', 'AutoContrast', 'Equalize', 'Color', 'Sharpness')


#: RandAugment of timm without random magnitudes, at the highest level: operation, its magnitude for
#: images of a side of 1, and whether it has a sign. A strength of 0.9 multiplies by 1.9.
RAND_AUGMENT = (
    ('AutoContrast', 0.0, False),
    ('Equalize', 0.0, False),
    ('Invert', 0.0, False),
    ('Rotate', 30.0, True),
    ('Posterize', 4.0, False),
    ('Identity', 0.0, False),  # Solarize, whose threshold of 256 no pixel reaches
    ('SolarizeAdd', 110.0, False),
    ('Color', 0.9, False),
    ('Contrast', 0.9, False),
    ('Brightness', 0.9, False),
    ('Sharpness', 0.9, False),
    ('ShearX', 0.3, True),
    ('ShearY', 0.3, True),
    ('TranslateX', 0.45, True),
    ('TranslateY', 0.45, True),
)


@dataclass
class Tables:
    """Parameters of operations, a row for each operation with its magnitude.

    Attributes:
        groups: Which rows belong to each of :data:`GROUPS`, (7, R), bool.
        sources: Source of each pixel in an image that an operation moves, (R, H * W); H * W stands
            for the fill value.
        values: Value for each pixel value in an image that a fixed table maps, (R, 256), uint8.
        factor: Factor of the image in a mix, (R, 1, 1).
        rest: Factor of the other image in a mix, (R, 1, 1).
    """

    groups: Tensor
    sources: Tensor
    values: Tensor
    factor: Tensor
    rest: Tensor


@TRANSFORMS.register_module()
class BatchCIFARAutoAugment:
    """:class:`CIFARAutoAugment` with a sub-policy drawn for each image.

    Args:
        fill: Value of the pixels that a rotation or shear uncovers, 0 to 255.
    """

    @validate_params(fill=Whole(at_least=0, at_most=255))
    def __init__(self, fill: int = 128) -> None:
        self.fill = fill
        self.policies = AutoAugment(AutoAugmentPolicy.CIFAR10).policies
        self._tables: dict[tuple, tuple[Tables, Tensor]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Apply the policy to images (N, 3, H, W); the result has whole numbers."""
        (height, width), device = images.shape[2:], images.device
        if (key := (height, width, device)) not in self._tables:
            chances = [[policy[step][1] for policy in self.policies] for step in range(2)]
            tables = build_tables(self._rows(height, width), height, width, device)
            self._tables[key] = tables, torch.tensor(chances, device=device)
        (tables, probability), kinds = self._tables[key], len(self.policies)
        number = len(images)
        policy = torch.randint(kinds, (number,), device=device)
        happens = torch.rand(2, number, device=device) <= probability[:, policy]
        negative = torch.rand(2, number, device=device) < 0.5
        images = images.round().clamp(0, 255).to(torch.uint8)
        for step in range(2):
            row = 2 * (step * kinds + policy) + negative[step]
            row = torch.where(happens[step], row, 4 * kinds)
            images = apply_operations(images, tables, row, self.fill)
        return images.float()

    def _rows(self, height: int, width: int) -> list[tuple[str, float]]:
        """A row for each step, sub-policy and sign; the last is none."""
        space = AutoAugment()._augmentation_space(10, (height, width))
        rows = []
        for step in range(2):
            for name, _, level in (policy[step] for policy in self.policies):
                values, signed = space[name]
                magnitude = 0.0 if level is None else float(values[level])
                rows += [(name, magnitude), (name, -magnitude if signed else magnitude)]
        return [*rows, ('Identity', 0.0)]


@TRANSFORMS.register_module()
class BatchRandAugment:
    """RandAugment, with operations drawn for each image from :data:`RAND_AUGMENT`.

    They are those of ``policies`` in ``configs/_base_/datasets/imagenet_lt.py``, whose level is the
    highest one. Pixels move to the nearest place, not by interpolation.

    Args:
        num_ops: Operations on an image, one after another.
        fill: Value of the pixels that a movement uncovers, 0 to 255.
    """

    @validate_params(num_ops=Whole(at_least=1), fill=Whole(at_least=0, at_most=255))
    def __init__(self, num_ops: int = 2, fill: int = 128) -> None:
        self.num_ops = num_ops
        self.fill = fill

    def __call__(self, images: Tensor) -> Tensor:
        """Augment images (N, 3, H, W); the result has whole numbers."""
        tables = rand_augment_tables(*images.shape[2:], images.device)
        size, device = (self.num_ops, len(images)), images.device
        kinds = torch.randint(len(RAND_AUGMENT), size, device=device)
        negative = torch.rand(size, device=device) < 0.5
        images = images.round().clamp(0, 255).to(torch.uint8)
        for row in 2 * kinds + negative:
            images = apply_operations(images, tables, row, self.fill)
        return images.float()


@cache
def rand_augment_tables(height: int, width: int, device: torch.device) -> Tables:
    """Build the tables of :data:`RAND_AUGMENT`, a row for each operation and sign."""
    sides = {'TranslateX': width, 'TranslateY': height}
    rows = []
    for name, magnitude, signed in RAND_AUGMENT:
        magnitude *= sides.get(name, 1)
        rows += [(name, magnitude), (name, -magnitude if signed else magnitude)]
    return build_tables(rows, height, width, device)


def build_tables(
    rows: list[tuple[str, float]], height: int, width: int, device: torch.device
) -> Tables:
    """Build the tables of operations with their magnitudes, for images of a size."""
    apply = partial(_apply_op, interpolation=InterpolationMode.NEAREST)
    pixels = torch.arange(height * width, dtype=torch.float32).view(1, height, width)
    outside = [float(height * width)]
    sources = [apply(pixels, n if n in MOVES else 'Identity', m, fill=outside) for n, m in rows]
    maps = [_map_of(name, magnitude) for name, magnitude in rows]
    group_of = {**dict.fromkeys(MOVES, 'move'), **dict.fromkeys(MAPS, 'map')}
    groups = [[group_of.get(n, n) == group for n, _ in rows] for group in GROUPS]
    mix = torch.tensor([[1 + m, 1 - (1 + m)] for _, m in rows], dtype=torch.float64).float()
    return Tables(
        groups=torch.tensor(groups, device=device),
        sources=torch.stack([moved.flatten().long() for moved in sources]).to(device),
        values=torch.stack(maps).to(device),
        factor=mix[:, :1, None].to(device),
        rest=mix[:, 1:, None].to(device),
    )


def _map_of(name: str, magnitude: float) -> Tensor:
    """What an operation makes of each pixel value, (256,), uint8."""
    values = torch.arange(256, dtype=torch.uint8)
    if name == 'SolarizeAdd':
        return torch.where(values < 128, (values.int() + int(magnitude)).clamp(max=255), values).to(
            torch.uint8
        )
    operation = name if name in MAPS else 'Identity'
    nearest = InterpolationMode.NEAREST
    return _apply_op(values.view(1, 1, 256), operation, magnitude, nearest, None).flatten()


def apply_operations(images: Tensor, tables: Tables, row: Tensor, fill: int) -> Tensor:
    """Apply to each uint8 image (N, 3, H, W) the operation of its row (N,) of the tables."""
    of = dict(zip(GROUPS, tables.groups[:, row], strict=True))
    images = apply_where(of['map'], map_values, images, tables.values[row].unsqueeze(1))
    mix = tables.factor[row], tables.rest[row]
    images = apply_where(of['Contrast'], adjust_contrast, images, *mix)
    images = apply_where(of['AutoContrast'], auto_contrast, images)
    images = apply_where(of['Equalize'], equalize, images)
    move = partial(move_pixels, sources=tables.sources, fill=fill)
    images = apply_where(of['move'], move, images, row)
    images = apply_where(of['Color'], adjust_saturation, images, *mix)
    return apply_where(of['Sharpness'], adjust_sharpness, images, *mix)


def map_values(images: Tensor, table: Tensor) -> Tensor:
    """Replace pixel values by tables (N, 1 or 3, 256) of each image."""
    values = images.flatten(2).long()
    return table.expand(-1, 3, -1).gather(2, values).view_as(images)


def move_pixels(images: Tensor, row: Tensor, sources: Tensor, fill: int) -> Tensor:
    """Replace each pixel by that at its source in a row (N,) of the table, or the fill value."""
    padded = F.pad(images.flatten(2), [0, 1], value=fill)
    return padded.gather(2, sources[row].unsqueeze(1).expand(-1, 3, -1)).view_as(images)


def mix(images: Tensor, others: Tensor, factor: Tensor, rest: Tensor) -> Tensor:
    """Compute ``factor * images + rest * others`` as uint8."""
    mixed = factor.unsqueeze(3) * images + rest.unsqueeze(3) * others
    return mixed.clamp(0, 255).to(torch.uint8)


def adjust_contrast(images: Tensor, factor: Tensor, rest: Tensor) -> Tensor:
    """Mix each image with the mean of its grey values."""
    grey = rgb_to_grayscale(images).float().mean((1, 2, 3), keepdim=True)
    return mix(images, grey, factor, rest)


def adjust_saturation(images: Tensor, factor: Tensor, rest: Tensor) -> Tensor:
    """Mix each image with its grey values."""
    return mix(images, rgb_to_grayscale(images), factor, rest)


def adjust_sharpness(images: Tensor, factor: Tensor, rest: Tensor) -> Tensor:
    """Mix each image with its smoothed version; edge pixels are kept."""
    sharp = images.float()
    rows = sharp[:, :, :-2] + sharp[:, :, 1:-1] + sharp[:, :, 2:]
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = sharp.clone()
    smooth[:, :, 1:-1, 1:-1] = ((box + 4 * sharp[:, :, 1:-1, 1:-1]) / 13).round()
    return mix(sharp, smooth, factor, rest)


def auto_contrast(images: Tensor) -> Tensor:
    """Stretch the values of each channel of each image to 0 and 255."""
    low = images.amin((2, 3), keepdim=True).float()
    high = images.amax((2, 3), keepdim=True).float()
    flat = high == low
    scale = torch.where(flat, 1.0, 255 / (high - low))
    low = torch.where(flat, 0.0, low)
    return ((images - low) * scale).clamp(0, 255).to(torch.uint8)


def equalize(images: Tensor) -> Tensor:
    """Make the histogram of each channel of each image flat."""
    values = images.flatten(2).long()
    counts = values.new_zeros(*values.shape[:2], 256)
    counts.scatter_add_(2, values, torch.ones_like(values))
    of_largest = counts.gather(2, values.amax(2, keepdim=True))
    step = (values.size(2) - of_largest) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    equal = table.gather(2, values)
    return torch.where(step > 0, equal, values).to(torch.uint8).view_as(images)
