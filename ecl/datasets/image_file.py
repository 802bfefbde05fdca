"""Find, decode and inspect image files."""

import hashlib
import io
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import mmcv
import numpy as np
from imagehash import phash
from PIL import Image, ImageOps

from ecl.errors import UserError

#: Pixels above which Pillow, and so this package, suspects a decompression bomb.
MAX_PIXELS = 89_478_485
#: Suffixes of image files, in lower case. Other files are recognized by their content.
EXTENSIONS = (
    '.jpg',
    '.jpeg',
    '.jfif',
    '.png',
    '.webp',
    '.avif',
    '.bmp',
    '.ppm',
    '.pgm',
    '.tif',
    '.tiff',
    '.gif',
)
#: Formats, by Pillow's names, in which content is recognized.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'AVIF', 'BMP', 'PPM', 'TIFF', 'GIF', 'JPEG2000')
_NOT_AN_IMAGE = 'it is not an image, or of a format that is not supported'
_HEIC_LACKS = 'it is a HEIC image: pip install "ecl-longtail[heic]" to read it'
#: Folders and files that operating systems create; hidden ones begin with a dot.
_SYSTEM_NAMES = ('__macosx', '@eadir', 'thumbs.db', 'desktop.ini')


class ImageFiles(NamedTuple):
    """Result of :func:`find_images`; paths are relative to the folder, with forward slashes.

    Attributes:
        images: The image files, sorted.
        others: The other files, each with the reason why it is left out.
    """

    images: list[str]
    others: dict[str, str]


class ImageFacts(NamedTuple):
    """Result of :func:`inspect_image`.

    Attributes:
        digest: Hash of the content, equal for copies; empty where the file could not be read.
        fault: Reason why training must not use the file; empty for a valid image.
        kind: Unusual property of a valid image: 'CMYK', '16-bit', 'palette', 'animated',
            'transparent' or ''. All are read as 8-bit colour on white, an animation by its first
            frame.
        size: Width and height in pixels; (0, 0) where unknown.
        look: Perceptual hash of a valid image, 64 bits as hexadecimal digits. The hashes of similar
            images differ in few bits.
    """

    digest: str = ''
    fault: str = ''
    kind: str = ''
    size: tuple[int, int] = (0, 0)
    look: str = ''


def find_images(folder: str | Path) -> ImageFiles:
    """Find all image files under a folder, at any depth, and name all other files.

    A file is an image by its suffix, one of ``EXTENSIONS`` in any case, or by its content. Links
    to folders are followed. Hidden files and those that systems create (``Thumbs.db``,
    ``__MACOSX``) are ignored.

    Args:
        folder: A local folder.

    Raises:
        UserError: If the folder or one below it cannot be read.
    """
    images: list[str] = []
    others: dict[str, str] = {}
    searched: set[str] = set()

    def refuse(error: OSError) -> None:
        raise UserError(f'{error.filename} cannot be read: {error.strerror}') from error

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        inside = os.path.relpath(place, folder)
        real = os.path.realpath(place)
        if real in searched:
            others[inside] = 'a link to a folder that is searched already'
            folders.clear()
            continue
        searched.add(real)
        folders[:] = sorted(filter(is_visible, folders))
        for name in filter(is_visible, names):
            path = os.path.normpath(os.path.join(inside, name)).replace(os.sep, '/')
            fault = '' if name.lower().endswith(EXTENSIONS) else _type_fault(f'{place}/{name}')
            if fault:
                others[path] = fault
            else:
                images.append(path)
    return ImageFiles(sorted(images), dict(sorted(others.items())))


def is_visible(name: str) -> bool:
    """Return whether a file or folder is neither hidden nor created by the system."""
    return not name.startswith('.') and name.lower() not in _SYSTEM_NAMES


def decode_image(content: bytes) -> np.ndarray:
    """Decode an image file to an array (H, W, 3) of uint8 in BGR.

    Grey, palette, CMYK and 16-bit images become 8-bit colour, transparent parts become white, and
    the orientation of a photograph is applied.

    Args:
        content: Content of the file.

    Raises:
        ValueError: If the image has more than ``MAX_PIXELS`` pixels, or OpenCV cannot decode it.
        OSError: If Pillow does not recognise the file.
    """
    with Image.open(io.BytesIO(content), formats=_formats()) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f'{image.width} x {image.height} pixels')
        if image.format == 'HEIF':  # which OpenCV does not know
            return np.asarray(on_white(image))[..., ::-1]
        if _has_alpha(image):  # which OpenCV drops
            return np.asarray(on_white(ImageOps.exif_transpose(image)))[..., ::-1]
    decoded = mmcv.imfrombytes(content)
    if decoded is None:
        raise ValueError('OpenCV cannot decode it')
    return decoded


def on_white(image: Image.Image) -> Image.Image:
    """Return an image in RGB, with its transparent parts white."""
    if not _has_alpha(image):
        return image.convert('RGB')
    image = image.convert('RGBA')
    return Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image).convert('RGB')


def _has_alpha(image: Image.Image) -> bool:
    # Pillow does not convert the transparency of 16-bit grey images.
    return image.has_transparency_data and not image.mode.startswith('I')


def inspect_image(path: str | Path) -> ImageFacts:
    """Read and decode an image file completely, without trusting it.

    The file must pass Pillow, which is strict about truncated files, and :func:`decode_image`. A
    file of more than ``MAX_PIXELS`` pixels is not decoded.

    Args:
        path: The file. A missing file is a fault like any other.

    Example:
        >>> inspect_image('missing.png').fault
        'the file is missing'
    """
    digest = ''
    try:
        content = _read(path)
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        image, kind, size, _ = _decode_strictly(content)
    except _FaultError as fault:
        return ImageFacts(digest, str(fault))
    if kind in ('', 'palette') and _is_transparent(image):
        kind = 'transparent'
    look = on_white(image) if _has_alpha(image) else image
    return ImageFacts(digest, '', kind, size, str(phash(look)))


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file without a fault, as :func:`decode_image` does.

    Args:
        path: The file.

    Raises:
        UserError: If :func:`inspect_image` finds a fault.
    """
    try:
        return _decode_strictly(_read(path)).pixels
    except _FaultError as fault:
        raise UserError(f'{path}: {fault}') from fault


class _FaultError(Exception):
    """Reason why an image file must not be used."""


class _Sound(NamedTuple):
    """Valid image: loaded by Pillow, and the array of :func:`decode_image`."""

    image: Image.Image
    kind: str
    size: tuple[int, int]
    pixels: np.ndarray


def _decode_strictly(content: bytes) -> _Sound:
    """Decode a file by Pillow, which is strict about truncated files, and :func:`decode_image`."""
    if not content:
        raise _FaultError('the file is empty')
    try:
        image = Image.open(io.BytesIO(content), formats=_formats())
        size = image.size
        if size[0] * size[1] > MAX_PIXELS:
            raise Image.DecompressionBombError
        kind = _kind(image)
        image.load()
    except Image.DecompressionBombError as error:
        raise _FaultError(f'it has more than {MAX_PIXELS:,} pixels') from error
    except Image.UnidentifiedImageError as error:
        raise _FaultError(_HEIC_LACKS if _is_heic(content) else _NOT_AN_IMAGE) from error
    # A damaged file may raise any exception; in every case the user must replace the file.
    except Exception as error:
        raise _FaultError(f'it is damaged: {_line(error)}') from error
    try:
        return _Sound(image, kind, size, decode_image(content))
    except Exception as error:
        raise _FaultError(_line(error)) from error


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that Pillow reads here, with HEIF where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return FORMATS
    register_heif_opener()
    return (*FORMATS, 'HEIF')


def _type_fault(path: str) -> str:
    """Return the reason why a file is not an image, or an empty string."""
    try:
        with Image.open(path, formats=_formats()):
            return ''
    except Image.UnidentifiedImageError:
        with open(path, 'rb') as file:
            return _HEIC_LACKS if _is_heic(file.read(32)) else _NOT_AN_IMAGE
    except OSError as error:
        return _reading_fault(path, error)
    except Exception:  # exceptions for a damaged header
        return _NOT_AN_IMAGE


def _is_heic(content: bytes) -> bool:
    return content[4:8] == b'ftyp' and content[8:12] in (
        b'heic',
        b'heix',
        b'hevc',
        b'mif1',
        b'msf1',
    )


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _FaultError(_reading_fault(path, error)) from error


def _reading_fault(path: str | Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return 'the link leads nowhere' if os.path.islink(path) else 'the file is missing'
    if isinstance(error, PermissionError):
        return 'it may not be read (no permission)'
    return f'it cannot be read: {error.strerror or _line(error)}'


def _kind(image: Image.Image) -> str:
    if getattr(image, 'n_frames', 1) > 1:
        return 'animated'
    if image.mode.startswith(('I', 'F')):
        return '16-bit'
    return {'CMYK': 'CMYK', 'P': 'palette', 'PA': 'palette'}.get(image.mode, '')


def _is_transparent(image: Image.Image) -> bool:
    """Return whether a pixel of a loaded image is transparent, at least in part."""
    return _has_alpha(image) and min(image.convert('RGBA').getchannel('A').tobytes()) < 255


def _line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
