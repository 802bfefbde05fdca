"""What is compared: a method, trained once or with several seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecl.engine.hooks.run_record import RECORD
from ecl.errors import UserError


@dataclass
class Method:
    """A method and its trainings.

    Attributes:
        name: What to call it.
        records: Content of ``results.json`` of each training, one a seed.
        work_dirs: Folder of each training; empty where only records are at hand.
    """

    name: str
    records: list[dict[str, Any]]
    work_dirs: list[Path] = field(default_factory=list)

    def values(self, key: str) -> list[float]:
        """A metric of each training; empty if one lacks it."""
        found = [record['metrics'].get(key) for record in self.records]
        return [] if None in found else found


def read_methods(paths: Sequence[str | Path]) -> list[Method]:
    """Read what a command line names; methods of the same name are numbered.

    Args:
        paths: Each the work dir of a training; a folder of such, taken for seeds of one method; the
            JSON file of a matrix, each row of which is a method; or ``results.json`` or the output
            of ``tools/test.py`` on its own.

    Raises:
        UserError: If one is none of these.
    """
    methods = [method for path in paths for method in _read_path(Path(path))]
    names = [method.name for method in methods]
    for number, method in enumerate(methods, 1):
        if names.count(method.name) > 1:
            method.name = f'{method.name} ({number})'
    return methods


def _read_path(path: Path) -> list[Method]:
    if path.is_dir():
        return [_from_folder(path)]
    if not path.is_file():
        raise UserError(f'{path} does not exist; name a work dir, a results.json or a table.json')
    content = _read(path)
    if 'rows' in content:
        rows = [row for row in content['rows'] if row.get('runs')]
        return [Method(row['name'], [_checked(run, path) for run in row['runs']]) for row in rows]
    return [Method(str(path), [_checked(content, path)])]


def _from_folder(folder: Path) -> Method:
    name = folder.resolve().name
    if (folder / RECORD).is_file():
        return Method(name, [_checked(_read(folder / RECORD), folder)], [folder])
    records = sorted(folder.glob(f'*/{RECORD}'))
    if not records:
        raise UserError(f'{folder} holds no {RECORD}, nor does a folder in it: no training ended')
    folders = [file.parent for file in records]
    return Method(name, [_checked(_read(file), file) for file in records], folders)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f'{path} cannot be read: {error}') from error


def _checked(record: Any, path: Path) -> dict[str, Any]:
    if not isinstance(record, Mapping) or not isinstance(record.get('metrics'), Mapping):
        raise UserError(f'{path} holds no metrics: it is no record of a training or an evaluation')
    return dict(record)
