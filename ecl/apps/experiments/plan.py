"""Read a matrix of trainings and find the complete ones."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio import load

from ecl.apis.config import configs_root, find_config, load_config
from ecl.apis.config_check import nearest
from ecl.engine.hooks.run_record import RECORD
from ecl.engine.resume.atomic_file import relative_path
from ecl.errors import UserError
from ecl.settings import Each, Whole

#: File of a run's cost; see :func:`ecl.apps.experiments.cost.model_cost`.
COST = 'cost.json'
#: Parts of a configuration that change the weights or their accuracy.
DECISIVE = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'val_dataloader',
    'val_evaluator',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
)


@dataclass(frozen=True, eq=False)
class Row:
    """Row of the table: a configuration, and variants of its evaluation."""

    name: str
    config: Path
    cfg_options: dict[str, Any]
    variants: dict[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Run:
    """Training of a row with a seed.

    ``earlier`` is the record of a table written before, if it has this configuration and seed.
    """

    row: Row
    seed: int
    work_dir: Path
    epochs: int
    fingerprint: str
    earlier: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f'{self.row.name}, seed {self.seed}'

    @property
    def variant_files(self) -> dict[str, str]:
        """File of the metrics of each variant, by its name."""
        variants = self.row.variants.items()
        return {name: f'variant-{_digest(options)}.json' for name, options in variants}

    @property
    def specification(self) -> str:
        """Arguments of :func:`~ecl.apps.experiments.workers.run_job`, as JSON."""
        files = self.variant_files
        return json.dumps(
            dict(
                config=str(self.row.config),
                seed=self.seed,
                work_dir=str(self.work_dir),
                cfg_options=self.row.cfg_options,
                variants={files[name]: options for name, options in self.row.variants.items()},
            )
        )

    @property
    def is_trained(self) -> bool:
        """Whether the results of the training exist, perhaps without all variants."""
        return self.earlier is not None or self._has(RECORD, COST)

    @property
    def is_complete(self) -> bool:
        """Whether all results exist."""
        return self.earlier is not None or self._has(RECORD, COST, *self.variant_files.values())

    def _has(self, *names: str) -> bool:
        return all((self.work_dir / name).is_file() for name in names)

    def record(self) -> dict[str, Any]:
        """Return the results of a training, with cost and variants; failed variants are missing."""
        # Options relative to the current configuration, because its defaults may have changed.
        options = {'cfg_options': self.row.cfg_options}
        if self.earlier is not None:
            return self.earlier | options
        files = {name: file for name, file in self.variant_files.items() if self._has(file)}
        read = {name: _read(self.work_dir / file) for name, file in files.items()}
        return {
            **_read(self.work_dir / RECORD),
            'cost': _read(self.work_dir / COST),
            **options,
            'variants': {name: content['metrics'] for name, content in read.items()},
            'variant_options': {name: self.row.variants[name] for name in files},
            'fingerprint': self.fingerprint,
        }

    def finished_epochs(self) -> int:
        """Return the number of finished epochs, from the newest log."""
        if self.earlier is not None or (self.work_dir / RECORD).is_file():
            return self.epochs
        logs = sorted(self.work_dir.glob('*/vis_data/scalars.json'))
        for line in reversed(logs[-1].read_text().splitlines() if logs else []):
            # Lines of a validation have no epoch, and the last line may be incomplete.
            if found := re.search(r'"epoch": (\d+)[,}]', line):
                return int(found.group(1))
        return 0

    def claim(self) -> None:
        """Write the fingerprint of the configuration into the folder of the run.

        Raises:
            UserError: If the folder holds results or a checkpoint of another configuration.
        """
        mark = self.work_dir / 'fingerprint'
        used = any((self.work_dir / name).is_file() for name in (RECORD, 'last_checkpoint'))
        if used and (not mark.is_file() or mark.read_text() != self.fingerprint):
            raise UserError(
                f'{self.work_dir} holds a run of another configuration than {self.row.config} is '
                'now: remove the folder, or choose another work dir'
            )
        self.work_dir.mkdir(parents=True, exist_ok=True)
        mark.write_text(self.fingerprint)


def read_matrix(
    path: Path,
    cfg_options: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
) -> tuple[str, list[int], list[Row]]:
    """Read title, seeds and rows of a matrix file; see :func:`~.matrix.run_matrix`.

    Args:
        path: The file.
        cfg_options: Values by dotted key for all rows, over those of the file.
        config: Configuration of the rows that name none. If a row's configuration is not in the
            folder of the matrix file, it is looked up in the folder of this one.

    Raises:
        UserError: If it cannot be read, or does not have this form.
    """
    shipped = configs_root().parent / path
    if not path.is_file() and shipped.is_file():  # such as configs/comparison/digits-lt.yaml
        path = shipped
    if not path.is_file():
        raise UserError(f'matrix {path} does not exist')
    try:
        content = load(str(path))
    except Exception as error:  # any error of the parser
        raise UserError(f'{path} cannot be read: {" ".join(str(error).split())}') from error
    needed = ('title', 'seeds', 'rows')
    _check_keys(content, (*needed, 'cfg_options'), needed, str(path))
    seeds, expected = content['seeds'], Each(Whole(at_least=0))
    if not expected.admits(seeds) or len(set(seeds)) < len(seeds):
        raise UserError(f'{path}: seeds: got {seeds!r}, expected {expected}, all different.')
    _check_options(content, str(path))
    if not isinstance(content['rows'], list):
        raise UserError(f'{path}: rows: got {content["rows"]!r}, expected a list of rows.')
    shared = {**content.get('cfg_options', {}), **(cfg_options or {})}
    rows = []
    for entry in content['rows']:
        _check_keys(entry, ('config', 'name', 'cfg_options', 'variants'), (), str(path))
        _check_options(entry, str(path))
        given = find_config(config) if config is not None else None
        if 'config' in entry:
            file = path.parent / str(entry['config'])
            if given is not None and not file.is_file():
                file = given.parent / str(entry['config'])
        elif given is not None and 'name' in entry:
            file = given
        else:
            raise UserError(
                f"{path}: 'config' is missing in {dict(entry)}. Name it there, or name the row and "
                'give --config.'
            )
        rows.append(
            Row(
                name=str(entry.get('name', file.stem)),
                config=Path(relative_path(file)),
                cfg_options={**shared, **entry.get('cfg_options', {})},
                variants=entry.get('variants', {}),
            )
        )
    names = [_slug(row.name) for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'{path}: several rows are named {name!r}; give each its own name')
    return str(content['title']), list(seeds), rows


def _check_keys(node: Any, known: Sequence[str], needed: Sequence[str], source: str) -> None:
    if not isinstance(node, Mapping):
        raise UserError(f'{source}: expected the keys {", ".join(known)}, found {node!r}')
    for key in node:
        if key not in known:
            raise UserError(f'{source}: unknown key {key!r}{nearest(str(key), known)}')
    for key in needed:
        if not node.get(key):
            raise UserError(f'{source}: {key!r} is missing in {dict(node)}')


def _check_options(node: Mapping[str, Any], source: str) -> None:
    for key in ('cfg_options', 'variants'):
        if not isinstance(node.get(key, {}), Mapping):
            raise UserError(
                f'{source}: {key}: got {node[key]!r}, expected names with their values.'
            )


def plan(rows: Sequence[Row], seeds: Sequence[int], folder: Path, table: Path) -> list[Run]:
    """Return all runs in their order, with every configuration checked.

    Args:
        rows: The rows of a matrix.
        seeds: Its seeds.
        folder: Work dir of the matrix; each run has a folder in it.
        table: A table written before (JSON), whose records count as done; it need not exist.

    Raises:
        UserError: If a configuration cannot be used, or a folder holds a run of another one.
    """
    checked = {}
    for row in rows:
        cfg = load_config(row.config, work_dir=folder, cfg_options=row.cfg_options)
        epochs = cfg.train_cfg.get('max_epochs', 1)  # a linear probe has one
        checked[row.name] = epochs, _digest(_decisive(cfg.to_dict()))
        for options in row.variants.values():
            load_config(row.config, cfg_options={**row.cfg_options, **options})
    before = _read(table)['rows'] if table.is_file() else []
    records = {
        (record['fingerprint'], record['seed']): record
        for line in before
        for record in line.get('runs', ())
    }
    runs = []
    for seed in seeds:
        for row in rows:
            epochs, fingerprint = checked[row.name]
            record = records.get((fingerprint, seed))
            if record is not None and record['variant_options'] != row.variants:
                record = None
            work_dir = folder / _slug(row.name) / f'seed{seed}'
            runs.append(Run(row, seed, work_dir, epochs, fingerprint, record))
            if record is None:
                runs[-1].claim()
    return runs


def _decisive(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that change the weights, including initial weights and extra hooks."""
    decisive = {key: settings.get(key) for key in DECISIVE}
    if settings.get('load_from'):
        decisive['load_from'] = settings['load_from']
    of_all = Config.fromfile(configs_root() / '_base_/default_runtime.py').default_hooks
    added = {k: v for k, v in settings.get('default_hooks', {}).items() if k not in of_all}
    hooks = [*added.items(), *settings.get('custom_hooks', ())]
    return {**decisive, 'hooks': hooks} if hooks else decisive


def _slug(name: str) -> str:
    return re.sub(r'(?:[^\w.]|_)+', '-', name.lower()).strip('-')


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:12]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
