"""Link downloads of public benchmarks to the folders that the configurations expect."""

from pathlib import Path
from typing import NamedTuple

from ecl.datasets.cifar import CIFAR10, CIFAR100
from ecl.datasets.image_list import read_image_list
from ecl.datasets.protocol import blob_sum, list_record
from ecl.errors import UserError


class _Benchmark(NamedTuple):
    """Folders under the root for images and lists, and the lists that belong to it."""

    images: str
    lists: str
    required: tuple[str, ...]
    optional: tuple[str, ...]


_LISTED = {
    'imagenet-lt': _Benchmark(
        'imagenet',
        'imagenet-lt',
        ('ImageNet_LT_train', 'ImageNet_LT_val', 'ImageNet_LT_test'),
        ('ImageNet_LT_forward50', 'ImageNet_LT_backward50'),
    ),
    'places-lt': _Benchmark(
        'places365',
        'places-lt',
        ('Places_LT_train', 'Places_LT_val', 'Places_LT_test'),
        ('Places_LT_forward50', 'Places_LT_backward50'),
    ),
    'inat18': _Benchmark(
        'inat2018',
        'inat2018-lt',
        ('iNaturalist18_train', 'iNaturalist18_val'),
        ('iNaturalist18_forward3', 'iNaturalist18_backward3'),
    ),
}
_ARCHIVES = {'cifar100-lt': (CIFAR100, 'cifar100'), 'cifar10-lt': (CIFAR10, 'cifar10')}
BENCHMARKS = (*_LISTED, *_ARCHIVES)


def prepare_public(
    name: str, images: str | Path, lists: str | Path | None = None, root: str | Path = 'data'
) -> list[str]:
    """Link a download to the folder that the configurations expect.

    Nothing is copied, moved or deleted. All links are checked before the first one is made.

    Args:
        name: One of ``BENCHMARKS``.
        images: The unpacked download: the folder with ``train/`` and ``val/`` (ImageNet),
            ``data_256/`` and ``val_256/`` or ``train/`` and ``val/`` (Places), ``train_val2018/``
            (iNaturalist), ``cifar-100-python/`` or that folder itself (CIFAR).
        lists: Folder with the split lists, at any depth. None for CIFAR, which has no lists.
        root: Folder of the data, where the configurations start from.

    Returns:
        One line for each link, and for each list whether it is the public one.

    Raises:
        UserError: If a list or an image folder is missing, or another file already has the name of
            a link.
    """
    images, root = Path(images), Path(root)
    if not images.is_dir():
        raise UserError(f'{images} is not a folder; give the folder of the unpacked download')
    if name in _ARCHIVES:
        cls, folder = _ARCHIVES[name]
        links = _archive_links(cls, images, root / folder)
        told = []
    else:
        benchmark = _LISTED[name]
        if lists is None or not Path(lists).is_dir():
            raise UserError(f'{name} needs its split lists: name their folder with --lists')
        found = _find_lists(benchmark, Path(lists), images)
        links = {root / benchmark.lists / f'{stem}.txt': path for stem, path in found.items()}
        links |= _image_links(found, images, root / benchmark.images)
        told = [list_record(stem, blob_sum(path.read_bytes())) for stem, path in found.items()]
    _make(links)
    return [*_shown(links), *(f'list: {line}' for line in told)]


def _archive_links(cls: type[CIFAR10], images: Path, target: Path) -> dict[Path, Path]:
    folder = images if images.name == cls.base_folder else images / cls.base_folder
    cls(str(folder.parent), 'train')  # checks files and sums
    cls(str(folder.parent), 'test')
    return {target / cls.base_folder: folder}


def _find_lists(benchmark: _Benchmark, folder: Path, images: Path) -> dict[str, Path]:
    """Return one file for each list; if there are several, the file whose paths fit the images."""
    found = {}
    for stem in (*benchmark.required, *benchmark.optional):
        candidates = sorted(folder.rglob(f'{stem}.txt'))
        first = {path: read_image_list(path)[0] for path in candidates}
        fitting = [path for path in candidates if _source_of(first[path], images)]
        if fitting:
            found[stem] = fitting[0]
        elif candidates and stem in benchmark.required:
            raise UserError(
                f'{candidates[0]} names {first[candidates[0]]}, which is not in {images}; '
                'give the folder that the paths of the list start from'
            )
        elif stem in benchmark.required:
            needed = ', '.join(f'{stem}.txt' for stem in benchmark.required)
            raise UserError(f'{folder} has no {stem}.txt; the required lists are {needed}')
    return found


def _source_of(path: str, images: Path) -> Path | None:
    """Return the file of a listed image: at its path, or without the class folder."""
    top = images / Path(path).parts[0]
    for candidate in (images / path, top / Path(path).name):
        if candidate.is_file():
            return candidate
    return None


def _image_links(found: dict[str, Path], images: Path, target: Path) -> dict[Path, Path]:
    """Link whole folders if they have the layout of the lists, else single images."""
    links: dict[Path, Path] = {}
    for path in found.values():
        names = read_image_list(path)
        top = Path(names[0]).parts[0]
        if (images / names[0]).is_file():
            links[target / top] = images / top
        elif target / top not in links:
            links |= {target / name: images / top / Path(name).name for name in names}
    return links


def _make(links: dict[Path, Path]) -> None:
    wanted = {}
    for link, source in links.items():
        if not source.exists():
            raise UserError(f'{source} is missing; it is the target of the link {link}')
        if not link.is_symlink() and not link.exists():
            wanted[link] = source
        elif link.resolve() != source.resolve():
            raise UserError(f'{link} already exists and has another target. Move it away.')
    for link, source in wanted.items():
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source.resolve())
        except OSError as error:
            raise UserError(f'{link} cannot be created: {error.strerror}') from error


def _shown(links: dict[Path, Path]) -> list[str]:
    if len(links) <= 20:
        return [f'{link} -> {source}' for link, source in links.items()]
    first = next(iter(links))
    return [f'{len(links)} links such as {first} -> {links[first]}']
