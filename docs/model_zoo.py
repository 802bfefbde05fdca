"""Tables of the configurations and their results: python docs/model_zoo.py

Rewrites, from the configurations and the records under docs/en/results/, the table in every
configs/<method>/README.md, the models in every configs/<method>/metafile.yml, and the tables of
README.md and docs/en/method.md. A configuration without a record has empty cells.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
RESULTS = ROOT / 'docs' / 'en' / 'results'
#: Names of the data in the names of the configurations.
DATA = {
    'digits-lt': 'Digits-LT',
    'cifar10-lt': 'CIFAR-10-LT',
    'cifar20-lt': 'CIFAR-20-LT (16 x 16)',
    'cifar100-lt': 'CIFAR-100-LT',
    'imagenet-lt': 'ImageNet-LT',
    'inat18': 'iNaturalist 2018',
    'places-lt': 'Places-LT',
    'lists-32px': 'own small images',
    'lists-224px': 'own photographs',
}
#: The record behind the tables of README.md and the method, and the rows that each shows.
ABLATION = RESULTS / 'cifar20-lt.json'
METHODS = {
    'cross-entropy, one network': 'cross-entropy',
    'LDAM-DRW, one network': 'LDAM-DRW',
    'balanced softmax, one network': 'balanced softmax',
    'independent experts': 'three independent experts',
    'mutual distillation, T = 1': 'plain mutual distillation',
    'NCL': 'NCL',
    'main and reference, ratio': 'ECL without contrast and features',
    'ratio + contrast': 'ECL without features',
    'everything': 'ECL',
}
CHOICES = {
    name: name
    for name in (
        'independent experts',
        'mutual distillation, T = 1',
        'mutual distillation, T = 2',
        'strict, unweighted',
        'strict, ratio',
        'both distilled, unweighted',
        'both distilled, ratio',
        'main and reference, unweighted',
        'main and reference, ratio',
        'main and reference, ratio: both classifiers predict',
        'main and reference, ratio: label classifiers predict',
        'main and reference, ratio by class',
        'main and reference, difference',
        'main and reference, ratio of losses',
        'main and reference, root of the ratio of losses',
        'root of the ratio of losses, contrast',
        'root of the ratio of losses, everything',
        'ratio, first stage shared',
        'ratio + features through adapters',
        'ratio + relations between images',
        'ratio + contrast',
        'everything',
    )
}
PAGES = {ROOT / 'README.md': METHODS, ROOT / 'docs' / 'en' / 'method.md': CHOICES}
#: Columns of the tables, and their names in a metafile.
METRICS = {
    'overall': 'Top 1 Accuracy',
    'many': 'Many-shot Accuracy',
    'medium': 'Medium-shot Accuracy',
    'few': 'Few-shot Accuracy',
}
BEGIN, END = '<!-- results: written by docs/model_zoo.py -->\n', '<!-- end of results -->\n'


class Result(NamedTuple):
    """What the runs of a configuration reached.

    Attributes:
        mean: Percent, by column.
        std: Sample standard deviation over the seeds; empty for a single one.
        num_seeds: Runs behind the numbers.
        source: The record.
    """

    mean: dict[str, float]
    std: dict[str, float]
    num_seeds: int
    source: Path


def results() -> dict[str, Result]:
    """The results under docs/en/results/ by configuration file; of several, that of most seeds."""
    found: dict[str, Result] = {}
    for path in sorted(RESULTS.rglob('*.json')):
        for config, result in _read(path):
            if config not in found or result.num_seeds > found[config].num_seeds:
                found[config] = result
    return found


def _read(path: Path) -> Iterator[tuple[str, Result]]:
    """The results in the record of a run, or in the table of a matrix."""
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        return
    if 'config' in content and 'metrics' in content:
        metrics = {key.removeprefix('shot/'): value for key, value in content['metrics'].items()}
        yield content['config'], Result(metrics, {}, 1, path)
    for row in content.get('rows', ()):
        if row.get('runs'):
            result = Result(row['mean'], row.get('std', {}), len(row['runs']), path)
            yield row['runs'][0]['config'], result


def methods() -> list[Path]:
    """Folders of the methods, ECL first."""
    found = [path.parent for path in CONFIGS.glob('*/metafile.yml')]
    return sorted(found, key=lambda path: (path.name != 'ecl', path.name))


def dataset_title(name: str) -> str:
    """The data that a configuration trains on, from its file name.

    Args:
        name: ``{method}_{backbone}_{data}[_{variant}]``.

    Example:
        >>> dataset_title('class_aware_sampling_r32_cifar100-lt-if50')
        'CIFAR-100-LT, IF 50'
    """
    for part in name.split('_'):
        data, _, factor = part.partition('-if')
        if data in DATA:
            return DATA[data] + (f', IF {factor}' if factor else '')
    raise ValueError(f'{name} does not name one of {", ".join(DATA)}')


def table(method: Path) -> str:
    """The configurations of a method and what they reached, as a Markdown table."""
    lines = [
        '| config | data | experts | epochs | overall | many | medium | few | seeds |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for config, result in _configs(method):
        cfg = Config.fromfile(config)
        cells = [_cell(result, column) for column in METRICS]
        if result is None:
            seeds = ''
        else:
            seeds = f'[{result.num_seeds}]({os.path.relpath(result.source, method)})'
        lines.append(
            f'| [`{config.stem}`]({config.name}) | {dataset_title(config.stem)} '
            f'| {cfg.model.backbone.num_experts} | {cfg.train_cfg.max_epochs} '
            f'| {" | ".join(cells)} | {seeds} |'
        )
    return '\n'.join(lines) + '\n'


def ablation_table(shown: dict[str, str]) -> str:
    """Rows of the ablation on CIFAR-20-LT, as a Markdown table.

    Args:
        shown: Name of a row in the record -> what to call it.
    """
    lines = [
        '| method | networks | overall | many | medium | few | one network alone | seeds |',
        '|---|---|---|---|---|---|---|---|',
    ]
    rows = {row['name']: row for row in json.loads(ABLATION.read_text())['rows']}
    for name, title in shown.items():
        row = rows[name]
        result = Result(row['mean'], row.get('std', {}), len(row['seeds']), ABLATION)
        cells = [_cell(result, column) for column in (*METRICS, 'one expert')]
        networks = 1 if 'one network' in name else 3
        lines.append(f'| {title} | {networks} | {" | ".join(cells)} | {result.num_seeds} |')
    return '\n'.join(lines) + '\n'


def models(method: Path) -> list[dict[str, Any]]:
    """The entries under ``Models`` of a method's metafile.yml."""
    (collection,) = _metafile(method)['Collections']
    found = []
    for config, result in _configs(method):
        model = {
            'Name': config.stem,
            'In Collection': collection['Name'],
            'Config': str(config.relative_to(ROOT)),
        }
        if result is not None:
            reached = {METRICS[k]: round(v, 2) for k, v in result.mean.items() if k in METRICS}
            model['Results'] = [
                {
                    'Dataset': dataset_title(config.stem),
                    'Task': 'Image Classification',
                    'Metrics': reached,
                }
            ]
        found.append(model)
    return found


def with_table(page: Path, lines: str) -> str:
    """The text of a page with a table between its marks."""
    head, rest = page.read_text().split(BEGIN)
    return f'{head}{BEGIN}{lines}{END}{rest.split(END)[1]}'


def written(method: Path) -> dict[Path, str]:
    """What README.md and metafile.yml of a method ought to hold."""
    readme, metafile = method / 'README.md', method / 'metafile.yml'
    content = {'Collections': _metafile(method)['Collections'], 'Models': models(method)}
    return {
        readme: with_table(readme, table(method)),
        metafile: yaml.safe_dump(content, sort_keys=False, width=100),
    }


def _configs(method: Path) -> Iterator[tuple[Path, Result | None]]:
    known = results()
    for config in sorted(method.glob('*.py')):
        yield config, known.get(str(config.relative_to(ROOT)))


def _metafile(method: Path) -> dict[str, Any]:
    return yaml.safe_load((method / 'metafile.yml').read_text())


def _cell(result: Result | None, column: str) -> str:
    if result is None or column not in result.mean:
        return ''
    spread = f' ± {result.std[column]:.1f}' if column in result.std else ''
    return f'{result.mean[column]:.1f}{spread}'


if __name__ == '__main__':
    for folder in methods():
        for file, text in written(folder).items():
            file.write_text(text)
    for page, rows in PAGES.items():
        page.write_text(with_table(page, ablation_table(rows)))
