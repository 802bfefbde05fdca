"""Effective Collaborative Learning for long-tailed image recognition."""

from importlib.metadata import PackageNotFoundError, distribution

from ecl.version import __version__

__all__ = ['__version__']

# Both families install the same import names. The one installed last overwrites files of the other,
# and uninstalling one deletes files of the other.
_UNMAINTAINED = (
    'mmengine',
    'mmengine-lite',
    'mmcv',
    'mmcv-lite',
    'mmcv-full',
    'mmpretrain',
    'mmcls',
)
_ENGINE = ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain')


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _require_engine() -> None:
    """Raise ImportError with the command to run unless only the maintained engine is there."""
    install = f'pip install --force-reinstall --no-deps {" ".join(_ENGINE)}'
    intruders = [name for name in _UNMAINTAINED if _is_installed(name)]
    if intruders:
        raise ImportError(
            f'the unmaintained {", ".join(intruders)} would overwrite the engine of ecl; run: '
            f'pip uninstall -y {" ".join(intruders)} && {install}'
        )
    missing = [name for name in _ENGINE if not _is_installed(name)]
    if missing:
        raise ImportError(f'ecl needs {", ".join(missing)}; run: pip install {" ".join(missing)}')


_require_engine()
