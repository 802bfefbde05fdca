"""Dataset of images in a CSV file with class names, as from spreadsheets and Kaggle."""

import csv
import io
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from mmengine.fileio import exists, get, get_file_backend
from mmpretrain.datasets import BaseDataset

from ecl.datasets.class_names import read_classes, read_text, shorten, sort_classes
from ecl.datasets.image_list import check_inside
from ecl.datasets.protocol import NotedDataset
from ecl.errors import UserError
from ecl.registry import DATASETS

#: Recognised column names, in lower case; the first existing one is used. A column of groups must
#: be named.
COLUMNS = {
    'image': 'image filename file_name file path image_path img_path filepath img image_id id',
    'label': 'label class class_name category species target y',
    'split': 'split set subset partition',
    'group': '',
}
#: Names of the splits that are recognized, in lower case.
SPLITS = {
    'train': ('train', 'training'),
    'val': ('val', 'valid', 'validation', 'dev'),
    'test': ('test', 'testing'),
}


class Row(NamedTuple):
    """A row of a table of images.

    Attributes:
        path: File of the image, with forward slashes.
        label: Class name.
        split: 'train', 'val' or 'test' for their usual names, else the name as it is; '' without a
            column of splits.
        line: Line of the table, from 1.
        group: Group of the image, such as a patient; '' without a column of groups.
    """

    path: str
    label: str
    split: str
    line: int
    group: str = ''


def parse_image_table(text: str, name: str, **columns: str | None) -> list[Row]:
    """Parse a CSV table of images and class names.

    The separator is a comma, a semicolon, a tab or a vertical bar. Fields may be quoted. Columns
    are found by their names in the first row. A table of two columns needs no such row: its columns
    are image and class.

    Args:
        text: The table.
        name: Its name in an error, such as its path.
        **columns: Names of the columns ``image``, ``label``, ``split`` and ``group``, where they
            are not recognized.

    Returns:
        The rows with an image.

    Raises:
        UserError: If a column is missing, a row has another number of fields or no class, or there
            is no image. The message names the table and the line.

    Example:
        >>> parse_image_table('file;species\\n"a;1.jpg";owl\\n', 'birds.csv')
        [Row(path='a;1.jpg', label='owl', split='', line=2, group='')]
    """
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=_separator(text))
    try:
        lines = [(reader.line_num, [field.strip() for field in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f'{name}, line {reader.line_num}: {error}. Check its quotes.') from error
    lines = [(line, row) for line, row in lines if any(row)]
    if not lines:
        raise UserError(f'{name} lists no image, expected rows of image and class')
    places = _find_columns(lines[0][1], name, columns)
    width = len(lines[0][1])
    if places is None:
        places = {'image': 0, 'label': 1}
    else:
        lines.pop(0)
    for line, row in lines:
        if len(row) != width:
            raise UserError(f'{name}, line {line}: got {len(row)} fields, expected {width}')
    rows = []
    for line, row in lines:
        path, label = row[places['image']].replace('\\', '/'), row[places['label']]
        if not path or not label:
            lacking = 'image' if not path else 'class'
            raise UserError(f'{name}, line {line}: got no {lacking}, expected one in each row')
        split = row[places['split']] if 'split' in places else ''
        usual = next((kind for kind, names in SPLITS.items() if split.lower() in names), split)
        group = row[places['group']] if 'group' in places else ''
        rows.append(Row(path, label, usual, line, group))
    if not rows:
        raise UserError(f'{name} lists no image, expected rows of image and class')
    return rows


def _separator(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), '')
    # Outside of quotes, because a quoted name may contain a separator.
    bare = ''.join(first.split('"')[::2])
    return max(',;\t|', key=bare.count)


def _find_columns(
    header: list[str], name: str, columns: dict[str, str | None]
) -> dict[str, int] | None:
    """Return the place of each column in the first row, or None if that row is data."""
    titles = [field.lower().replace(' ', '_') for field in header]
    places = {}
    for kind, known in COLUMNS.items():
        asked = columns.get(kind)
        if asked is not None and asked not in header:
            raise UserError(f'{name} has no column {asked!r}: got {", ".join(header)}')
        if asked is not None:
            places[kind] = header.index(asked)
        elif found := [title for title in known.split() if title in titles]:
            places[kind] = titles.index(found[0])
    if {'image', 'label'} <= places.keys():
        return places
    if len(header) == 2 and not any(columns.values()):
        return None
    lacking = 'image' if 'image' not in places else 'label'
    raise UserError(
        f'{name} has no column for the {lacking}: got {", ".join(header)}, expected one of '
        f'{", ".join(COLUMNS[lacking].split())}. Give its name: ecl prepare csv '
        f'--{lacking}-column NAME, or the argument {lacking}_column of ImageCSV.'
    )


@DATASETS.register_module()
class ImageCSV(NotedDataset, BaseDataset):
    """Any images named in a CSV file, with class names or numbers as labels.

    The format is that of :func:`parse_image_table`, from any system and spreadsheet.

    All splits use the same class numbers. Without ``classes``, the class names are those of the
    training data: the rows of ``train_split`` in the same table, or else the table of that name in
    the same folder (``train.csv``), or else the table itself. They are sorted by value if all are
    whole numbers, else alphabetically. A class that is not among them is an error. A class without
    images is logged.

    Files are opened only when they are needed, and are not checked earlier. Images are in BGR after
    ``LoadImage``: the preprocessor needs ``to_rgb=True``.

    Args:
        ann_file: The table; a relative path is under ``data_root``.
        data_root: Folder that the paths in the table start from.
        split: Rows to use, by the column of splits, such as 'train'; '' for all rows.
        classes: Class names in label order; see :func:`~ecl.datasets.class_names.read_classes`.
        train_split: Split, or name of the table without suffix, of the training data.
        image_column, label_column, split_column: Names of the columns, where they are not
            recognized.
        suffix: Suffix to append to each image name, such as '.jpg', if the table has none.
        allow_outside: Whether paths may leave ``data_root``; see
            :func:`~ecl.datasets.image_list.check_inside`.
        **kwargs: ``data_prefix`` (a folder under ``data_root`` to start from instead), ``pipeline``
            and other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UserError: If the table is missing or wrong, has no row of the split, or names a class that
            the training data lack.

    Example:
        >>> train_dataset = dict(
        ...     type='ImageCSV', ann_file='birds.csv', data_root='data/birds', split='train')
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        split: str = '',
        classes: str | Sequence[str] | None = None,
        train_split: str = 'train',
        image_column: str | None = None,
        label_column: str | None = None,
        split_column: str | None = None,
        suffix: str = '',
        allow_outside: bool = False,
        **kwargs: Any,
    ) -> None:
        self.split = split
        self.train_split = train_split
        self.columns = dict(image=image_column, label=label_column, split=split_column)
        self.suffix = suffix
        self.allow_outside = allow_outside
        data_root = os.path.expanduser(data_root)
        super().__init__(ann_file, data_root=data_root, classes=read_classes(classes), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return paths and labels in the order of the table."""
        table = self._read(self.ann_file)
        rows = [row for row in table if self.split in ('', row.split)]
        if not rows:
            found = shorten(sort_classes({row.split for row in table}))
            raise UserError(f'{self.ann_file} has no row of split {self.split!r}: got {found}')
        if self.CLASSES is None:
            self._metainfo['classes'] = sort_classes(self._train_labels(table))
        label_of = {name: label for label, name in enumerate(self.CLASSES)}
        for row in rows:
            if row.label not in label_of:
                raise UserError(
                    f'{self.ann_file}, line {row.line}: unknown class: got {row.label!r}, expected '
                    f'one of {shorten(self.CLASSES)}. Correct the table or `classes`.'
                )
        present = {row.label for row in rows}
        if lacking := [name for name in self.CLASSES if name not in present]:
            number = f'{len(lacking)} of {len(self.CLASSES)} classes'
            self.note(f'{self.ann_file} has no image of {number}: {shorten(lacking)}')
        if not self.allow_outside:
            check_inside((row.path for row in rows), self.ann_file)
        join = get_file_backend(self.img_prefix, enable_singleton=True).join_path
        return [
            {
                'img_path': join(self.img_prefix, row.path + self.suffix),
                'gt_label': label_of[row.label],
            }
            for row in rows
        ]

    def _read(self, path: str) -> list[Row]:
        if not exists(path):
            raise UserError(
                f'{path} is missing, expected a CSV file of images and classes. A relative '
                'ann_file is under data_root.'
            )
        return parse_image_table(read_text(get(path), path), path, **self.columns)

    def _train_labels(self, table: list[Row]) -> set[str]:
        if self.split:
            trained = [row for row in table if row.split == self.train_split]
            return {row.label for row in trained or table}
        stem, suffix = os.path.splitext(self.ann_file)
        sibling = os.path.join(os.path.dirname(stem), self.train_split + suffix)
        return {row.label for row in (self._read(sibling) if exists(sibling) else table)}
