"""What an image file is, and whether training could read it."""

import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple

import mmcv
from PIL import Image

#: Pixels above which Pillow, and so this package, suspects a decompression bomb.
MAX_PIXELS = 89_478_485


class ImageFacts(NamedTuple):
    """What :func:`inspect_image` found.

    Attributes:
        digest: Sum of the file's content; equal for copies. Empty where it could not be read.
        fault: Why training must not see it, in words; empty for a sound image.
        kind: What is unusual about a sound one: 'CMYK', '16-bit', 'palette', 'animated' or ''.
            All are read as 8-bit colour, an animation by its first frame.
        size: Width and height in pixels; (0, 0) where unknown.
    """

    digest: str = ''
    fault: str = ''
    kind: str = ''
    size: tuple[int, int] = (0, 0)


def inspect_image(path: str | Path) -> ImageFacts:
    """Read and decode an image file completely, without trusting it.

    It must pass Pillow, which is strict about truncated files, and OpenCV, by which
    ``LoadImageFromFile`` reads. A file that claims more than ``MAX_PIXELS`` pixels is not decoded.

    Args:
        path: The file. It need not exist: that is a fault like any other.

    Example:
        >>> inspect_image('missing.png').fault
        'the file is missing'
    """
    try:
        content = _read(path)
    except OSError as error:
        return ImageFacts(fault=_reading_fault(path, error))
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    if not content:
        return ImageFacts(digest, fault='the file is empty')
    try:
        image = Image.open(io.BytesIO(content))
        size = image.size
        if size[0] * size[1] > MAX_PIXELS:
            raise Image.DecompressionBombError
        kind = _kind(image)
        image.load()
    except Image.DecompressionBombError:
        return ImageFacts(digest, fault=f'it claims more than {MAX_PIXELS:,} pixels')
    except Image.UnidentifiedImageError:
        return ImageFacts(digest, fault='it is no image, or of a kind that Pillow cannot read')
    # Whatever a damaged file makes the decoder raise, the file is what has to change.
    except Exception as error:
        return ImageFacts(digest, fault=f'it is damaged: {_line(error)}')
    try:
        decoded = mmcv.imfrombytes(content)
    except Exception as error:
        return ImageFacts(digest, fault=f'OpenCV cannot decode it: {_line(error)}', size=size)
    if decoded is None:
        return ImageFacts(digest, fault='OpenCV, which training reads with, cannot decode it')
    return ImageFacts(digest, kind=kind, size=size)


def _read(path: str | Path) -> bytes:
    return Path(path).read_bytes()


def _reading_fault(path: str | Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        dangling = os.path.islink(path)
        return 'the link leads nowhere' if dangling else 'the file is missing'
    if isinstance(error, PermissionError):
        return 'it may not be read (no permission)'
    return f'it cannot be read: {error.strerror or _line(error)}'


def _kind(image: Image.Image) -> str:
    if getattr(image, 'n_frames', 1) > 1:
        return 'animated'
    if image.mode.startswith(('I', 'F')):
        return '16-bit'
    return {'CMYK': 'CMYK', 'P': 'palette', 'PA': 'palette'}.get(image.mode, '')


def _line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
