"""Copy images at a smaller size, so that training reads them faster."""

import shutil
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from ecl.apps.data.scan import map_files
from ecl.datasets.image_file import find_images
from ecl.datasets.image_list import read_image_list
from ecl.errors import UserError

#: Quality of a copy, and the formats whose writers take it for any file.
QUALITY = 95
_WITH_QUALITY = ('JPEG', 'MPO', 'WEBP')
NAMED_IMAGES = 3


def resize_images(
    source: str | Path,
    out: str | Path,
    short_side: int = 320,
    lists: str | Path | None = None,
    workers: int | None = None,
) -> tuple[int, int]:
    """Copy the images of a folder with the same names, resized to a short side.

    Smaller images are copied as they are. Existing files are kept, so a second call continues where
    the first was interrupted.

    Args:
        source: A folder of images, at any depth.
        out: Folder of the copies.
        short_side: Pixels of the shorter side, at least 1. 320 leaves room for crops of 224.
        lists: Folder of lists of ``path label``, at any depth; only their images are copied.
        workers: Threads. Defaults to the number of cores, at most 16.

    Returns:
        Numbers of copies written and of those that existed.

    Raises:
        UserError: If a folder is wrong or the source has no images; at the end, if images cannot be
            read.
    """
    source, out = Path(source), Path(out)
    if short_side < 1:
        raise UserError(f'--short-side must be at least 1, not {short_side}')
    if not source.is_dir():
        raise UserError(f'{source} is not a folder')
    if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
        raise UserError(f'--out {out} is inside {source}; choose another folder')
    names = _listed(Path(lists), source) if lists else find_images(source).images
    if not names:
        raise UserError(f'{source} has no images')
    missing = [name for name in names if not (out / name).exists()]
    for folder in {(out / name).parent for name in missing}:
        folder.mkdir(parents=True, exist_ok=True)
    copy = partial(_copy, source=source, out=out, short_side=short_side)
    results = map_files(copy, missing, 'resizing', workers)
    faults = [fault for fault in results if fault]
    if faults:
        more = f' and {len(faults) - NAMED_IMAGES} more' if len(faults) > NAMED_IMAGES else ''
        raise UserError(
            f'{len(faults)} of {len(names)} images cannot be read, all others are copied: '
            f'{"; ".join(faults[:NAMED_IMAGES])}{more}'
        )
    return len(missing), len(names) - len(missing)


def _listed(lists: Path, source: Path) -> list[str]:
    """Return the existing images that the lists name."""
    if not lists.is_dir():
        raise UserError(f'--lists {lists} is not a folder')
    names: dict[str, None] = {}
    for path in sorted(lists.rglob('*.txt')):
        names |= dict.fromkeys(read_image_list(path))
    return [name for name in names if (source / name).is_file()]


def _copy(name: str, source: Path, out: Path, short_side: int) -> str | None:
    """Write one copy; return the fault of the image, if any."""
    target = out / name
    part = target.with_name(f'.{target.name}.part')
    try:
        with Image.open(source / name) as image:
            kind, size = image.format or 'PNG', image.size
            factor = short_side / min(size)
            if factor < 1:
                # A JPEG is decoded at 1/8, 1/4 or 1/2 of its size if that is enough.
                image.draft('RGB', (round(2 * size[0] * factor), round(2 * size[1] * factor)))
                upright = _with_colours(ImageOps.exif_transpose(image))
                factor = short_side / min(upright.size)
                shape = [max(short_side, round(side * factor)) for side in upright.size]
                small = upright.resize(shape, Image.Resampling.BICUBIC, reducing_gap=2.0)
                quality = {'quality': QUALITY} if kind in _WITH_QUALITY else {}
                small.save(part, kind, **quality, **_profile(image))
            else:
                shutil.copyfile(source / name, part)
        part.replace(target)
    # A decoder may raise any exception for a damaged file.
    except Exception as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename and Path(error.filename) == part:
            raise
        return f'{name} ({" ".join(str(error).split())})'
    return None


def _with_colours(image: Image.Image) -> Image.Image:
    """Convert a palette image to colours; Pillow would resize it without interpolation."""
    if image.mode != 'P':
        return image
    return image.convert('RGBA' if 'transparency' in image.info else 'RGB')


def _profile(image: Image.Image) -> dict[str, bytes]:
    profile = image.info.get('icc_profile')
    return {'icc_profile': profile} if profile else {}
