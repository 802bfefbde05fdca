"""CIFAR's AutoAugment and RandAugment for a whole batch; see :mod:`.batch_geometry`.

The operations map uint8 images (N, 3, H, W) to the same values as torchvision's. The parameters of
the operations are in tables on the same device.
"""

from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.autoaugment import _apply_op

from ecl.datasets.batch_color import grey_values
from ecl.datasets.batch_geometry import apply_where, constant
from ecl.registry import TRANSFORMS
from ecl.settings import Whole, validate_params

#: Operations that move pixels, and those that map pixel values by one table.
MOVES = ('ShearX', 'ShearY', 'TranslateX', 'TranslateY', 'Rotate')
MAPS = ('Brightness', 'Posterize', 'Solarize', 'SolarizeAdd', 'Invert')
#: Operations that map pixel values by a table made from the image, and that mix two images.
STRETCHES = ('AutoContrast', 'Equalize')
MIXES = ('Contrast', 'Color', 'Sharpness')
PIXEL_VALUES = tuple(range(256))
#: Groups of operations that are computed in the same way.
GROUPS: dict[str, tuple[str, ...]] = {
    'move': MOVES,
    'look_up': MAPS + STRETCHES,
    'mix': MIXES,
    **{name: (name,) for name in (*STRETCHES, 'Contrast', 'Sharpness')},
}


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
        groups: Which rows belong to each of :data:`GROUPS`, (G, R), bool.
        sources: Source of each pixel in an image that an operation moves, (R, H * W); H * W stands
            for the fill value.
        values: Value for each pixel value of a channel where no table is made from the image,
            (R, 3, 256), uint8.
        shares: Factors of the image and of the other one in a mix, (R, 2).
    """

    groups: Tensor
    sources: Tensor
    values: Tensor
    shares: Tensor


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
        policy = torch.randint(kinds, (len(images),), device=device)
        idle = torch.rand(2, len(images), device=device) > probability[:, policy]
        negative = torch.rand(2, len(images), device=device) < 0.5
        rows = 2 * policy + negative + constant((0, 2 * kinds), device).unsqueeze(1)
        images = images.round().clamp(0, 255).to(torch.uint8)
        for row in rows.masked_fill(idle, 4 * kinds):
            images = apply_operations(images, tables, row, self.fill)
        return images.float()

    def _rows(self, height: int, width: int) -> list[tuple[str, float]]:
        """Return a row for each step, sub-policy and sign; the last row is the identity."""
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
    highest one. Pixels move to the nearest pixel, without interpolation.

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
    groups = [[name in members for name, _ in rows] for members in GROUPS.values()]
    shares = torch.tensor([[1 + m, 1 - (1 + m)] for _, m in rows], dtype=torch.float64)
    return Tables(
        groups=torch.tensor(groups, device=device),
        sources=torch.stack([moved.flatten().long() for moved in sources]).to(device),
        values=torch.stack(maps).unsqueeze(1).repeat(1, 3, 1).to(device),
        shares=shares.float().to(device),
    )


def _map_of(name: str, magnitude: float) -> Tensor:
    """Return the result of an operation for each pixel value, (256,), uint8."""
    values = torch.arange(256, dtype=torch.uint8)
    if name == 'SolarizeAdd':
        return torch.where(values < 128, (values.int() + int(magnitude)).clamp(max=255), values).to(
            torch.uint8
        )
    operation = name if name in MAPS else 'Identity'
    nearest = InterpolationMode.NEAREST
    return _apply_op(values.view(1, 1, 256), operation, magnitude, nearest, None).flatten()


def apply_operations(images: Tensor, tables: Tables, row: Tensor, fill: int) -> Tensor:
    """Apply an operation to each uint8 image (N, 3, H, W), by its row (N,) of the tables."""
    of = dict(zip(GROUPS, tables.groups[:, row], strict=True))
    move = partial(move_pixels, sources=tables.sources, fill=fill)
    images = apply_where(of['move'], move, images, row)
    made = [of[name] for name in STRETCHES]
    images = apply_where(of['look_up'], look_up, images, tables.values[row], *made)
    other = of['Contrast'], of['Sharpness']
    return apply_where(of['mix'], mix, images, tables.shares[row], *other)


def move_pixels(images: Tensor, row: Tensor, sources: Tensor, fill: int) -> Tensor:
    """Replace each pixel by that at its source in a row (N,) of the table, or the fill value."""
    padded = F.pad(images.flatten(2), [0, 1], value=fill)
    return padded.gather(2, sources[row].unsqueeze(1).expand(-1, 3, -1)).view_as(images)


def look_up(images: Tensor, tables: Tensor, stretched: Tensor, equalized: Tensor) -> Tensor:
    """Replace the pixel values of each channel by a table.

    Args:
        images: (N, 3, H, W).
        tables: Values for each pixel value, (N, 3, 256).
        stretched, equalized: Where the table is made from the image instead, (N,), bool.
    """
    values = images.flatten(2).long()
    tables = apply_where(stretched, auto_contrast, tables, values)
    tables = apply_where(equalized, equalize, tables, values)
    return tables.gather(2, values).view_as(images)


def auto_contrast(tables: Tensor, values: Tensor) -> Tensor:
    """Make tables (N, 3, 256) that stretch pixel values (N, 3, H * W) to 0 and 255."""
    low, high = values.aminmax(dim=2, keepdim=True)
    span = high - low
    flat = span == 0
    scale = (255 / span).masked_fill(flat, 1)
    pixel = constant(PIXEL_VALUES, tables.device)
    return ((pixel - low.masked_fill(flat, 0)) * scale).clamp(0, 255).to(torch.uint8)


def equalize(tables: Tensor, values: Tensor) -> Tensor:
    """Make tables (N, 3, 256) after which the histogram of pixel values (N, 3, H * W) is flat."""
    counts = values.new_zeros(tables.shape)
    counts.scatter_add_(2, values, constant((1,), values.device).expand_as(values))
    of_largest = counts.gather(2, values.amax(2, keepdim=True))
    step = (values.size(2) - of_largest) // 255
    below = counts.cumsum(2) - counts
    equal = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step > 0, equal, constant(PIXEL_VALUES, step.device)).to(torch.uint8)


def mix(images: Tensor, shares: Tensor, contrast: Tensor, sharpness: Tensor) -> Tensor:
    """Mix each image with its grey values, their mean, or its smoothed version.

    Args:
        images: (N, 3, H, W).
        shares: Factors of the image and of the other one, (N, 2).
        contrast, sharpness: Where the other one is the mean or the smoothed version, (N,), bool.
    """
    own, rest = shares[..., None, None, None].unbind(1)
    grey = grey_values(images).floor()
    mean = grey.mean((1, 2, 3), keepdim=True)
    others = torch.where(contrast.view(-1, 1, 1, 1), mean, grey).expand(images.shape)
    others = apply_where(sharpness, smooth, others, images)
    return (own * images + rest * others).clamp(0, 255).to(torch.uint8)


def smooth(_: Tensor, images: Tensor) -> Tensor:
    """Smooth images (N, 3, H, W) by PIL's filter; edge pixels are kept."""
    smoothed = images.float()
    inner = smoothed[:, :, 1:-1, 1:-1]
    sums = F.avg_pool2d(smoothed, 3, stride=1, divisor_override=1)
    inner.copy_((sums.add(inner, alpha=4) / 13).round())
    return smoothed
