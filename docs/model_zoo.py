"""Write the result tables of the documentation: python docs/model_zoo.py

The numbers come from the records under docs/en/results/. The script writes the tables of
configs/*/README.md, the models of configs/*/metafile.yml, and the tables of docs/tables.yml.
A configuration without a record has empty cells.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from mmengine.config import Config

from ecl.evaluation import markdown_table

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
RESULTS = ROOT / 'docs' / 'en' / 'results'
TABLES = ROOT / 'docs' / 'tables.yml'
#: Title of the data by its part of the file name of a configuration.
DATA = {
    'digits-lt': 'Digits-LT',
    'cifar10-lt': 'CIFAR-10-LT',
    'cifar20-lt': 'CIFAR-20-LT (16 x 16)',
    'cifar100-lt': 'CIFAR-100-LT',
    'cifar100-lt-16px': 'CIFAR-100-LT (16 x 16)',
    'imagenet-lt': 'ImageNet-LT',
    'inat18': 'iNaturalist 2018',
    'places-lt': 'Places-LT',
    'lists-32px': 'own small images',
    'lists-224px': 'own photographs',
    'photos': 'own photographs',
}
#: Columns of the tables, and their names in a metafile.
METRICS = {
    'overall': 'Top 1 Accuracy',
    'many': 'Many-shot Accuracy',
    'medium': 'Medium-shot Accuracy',
    'few': 'Few-shot Accuracy',
}
#: Options that change no result.
TECHNICAL = (
    'train_cfg.graph',
    'train_cfg.val_interval',
    'default_hooks.checkpoint.interval',
    'env_cfg.cudnn_benchmark',
)
#: Record of all methods at one budget, and its protocol in the tables.
SHARED = RESULTS / 'methods_cifar20-lt.json'
SHARED_PROTOCOL = {'data': 'CIFAR-20-LT (16 x 16)', 'network': 'ResNet-8', 'epochs': 40}
#: Marks around a table on a page.
BEGIN, END = '<!-- {}: written by docs/model_zoo.py -->\n', '<!-- end of results -->\n'


def results() -> pd.DataFrame:
    """Read the records under docs/en/results/.

    Returns:
        One line for each row of a record, with ``config``, ``name``, ``num_seeds``, ``source``,
        and ``mean.*`` and ``std.*`` of the metrics in percent. A record of a single run has no
        ``std.*``. ``config`` is None if a row changes more options of its config than
        :data:`TECHNICAL`. The results of most
        seeds come first.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted(RESULTS.rglob('*.json')):
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            continue
        found = content.get('rows', [])
        if 'config' in content and 'metrics' in content:
            mean = {key.removeprefix('shot/'): v for key, v in content['metrics'].items()}
            found = [{'mean': mean, 'seeds': [content.get('seed')], 'runs': [content]}]
        for row in found:
            if 'seeds' in row and 'mean' in row:
                run = row['runs'][0] if row.get('runs') else {}
                changed = [key for key in run.get('cfg_options') or {} if key not in TECHNICAL]
                config = None if changed else run.get('config')
                line = {key: row[key] for key in ('name', 'mean', 'std') if key in row}
                rows.append(
                    {**line, 'config': config, 'num_seeds': len(row['seeds']), 'source': path}
                )
    return pd.json_normalize(rows).sort_values('num_seeds', ascending=False, kind='stable')


def methods() -> list[Path]:
    """Return the folders of the methods, ECL first."""
    found = [path.parent for path in CONFIGS.glob('*/metafile.yml')]
    return sorted(found, key=lambda path: (path.name != 'ecl', path.name))


def dataset_title(name: str) -> str:
    """Return the title of the data that a configuration trains on.

    Args:
        name: ``{method}_{backbone}_{data}[_{variant}]``, the file name without its extension.

    Example:
        >>> dataset_title('class_aware_sampling_r32_cifar100-lt-if50')
        'CIFAR-100-LT, IF 50'
    """
    for part in name.split('_'):
        data, _, factor = part.partition('-if')
        if data in DATA:
            return DATA[data] + (f', IF {factor}' if factor else '')
    raise ValueError(f'no data in the name of the config: got {name}, expected one of {[*DATA]}')


def cell(result: pd.Series, column: str) -> str:
    """Format mean and standard deviation of a metric; empty without a result."""
    mean, std = result.get(f'mean.{column}'), result.get(f'std.{column}')
    if mean is None or pd.isna(mean):
        return ''
    return f'{mean:.1f}' + ('' if std is None or pd.isna(std) else f' ± {std:.1f}')


def table(method: Path) -> str:
    """Format the configurations of a method and their results as a Markdown table."""
    rows = []
    for config, result in _configs(method):
        cfg = Config.fromfile(config)
        seeds = ''
        if not result.empty:
            seeds = f'[{result["num_seeds"]}]({os.path.relpath(result["source"], method)})'
        rows.append(
            {
                'config': f'[`{config.stem}`]({config.name})',
                'data': dataset_title(config.stem),
                'experts': cfg.model.backbone.num_experts,
                'epochs': cfg.train_cfg.get('max_epochs', 1),
                **{column: cell(result, column) for column in METRICS},
                'seeds': seeds,
            }
        )
    return markdown_table(pd.DataFrame(rows)) + '\n'


def record_table(record: str, titles: dict[str, str]) -> str:
    """Format rows of a record as a Markdown table.

    Args:
        record: Path of the record below the root.
        titles: Name of a row in the record -> its title in the table.
    """
    found = results()
    found = found[found['source'] == ROOT / record].set_index('name')
    columns = (*METRICS, 'balanced', 'one expert')
    rows = [
        {
            'method': title,
            **{column: cell(found.loc[name], column) for column in columns},
            'seeds': found.loc[name, 'num_seeds'],
        }
        for name, title in titles.items()
    ]
    frame = pd.DataFrame(rows)
    if not frame['balanced'].any():  # balanced test data
        frame = frame.drop(columns='balanced')
    return markdown_table(frame) + '\n'


def published_table(method: Path) -> str:
    """Format published accuracies of a method beside ours as a Markdown table.

    Ours are empty where there is no run of that protocol. The last line is the comparison of all
    methods at one budget, which has no published counterpart.
    """
    (collection,) = _metafile(method)['Collections']
    rows = []
    for entry in collection.get('Published', ()):
        ours = [
            result
            for config, result in _configs(method)
            if not result.empty and _same_protocol(config, entry)
        ]
        rows.append(
            {
                'data': entry['Data'],
                'network': entry['Network'],
                'epochs': str(entry.get('Epochs', '')),
                'published': f'{entry["Accuracy"]} ({entry["Source"]})',
                'ours': cell(ours[0], 'overall') if ours else '',
                'difference': entry.get('Note', ''),
            }
        )
    found = shared_results()
    found = found[~found.index.duplicated()]
    if method.name in found.index:
        ours, baseline = found.loc[method.name], found.loc['cross_entropy']
        rows.append(
            {
                **SHARED_PROTOCOL,
                'published': '',
                'ours': f'{cell(ours, "overall")} (few-shot {cell(ours, "few")})',
                'difference': 'cross-entropy at this budget: '
                f'{cell(baseline, "overall")} (few-shot {cell(baseline, "few")})',
            }
        )
    if not rows:
        return 'No result is published, and no config here was run as it is.\n'
    return markdown_table(pd.DataFrame(rows)) + '\n'


def _same_protocol(config: Path, entry: dict[str, Any]) -> bool:
    """Return whether data, network and, where they are published, epochs are equal."""
    network = re.search(r'_r(\d+)_', config.name)
    epochs = Config.fromfile(config).train_cfg.get('max_epochs')
    return (
        dataset_title(config.stem) == entry['Data']
        and network is not None
        and entry['Network'] == f'ResNet-{network[1]}'
        and entry.get('Epochs', epochs) == epochs
    )


def shared_results() -> pd.DataFrame:
    """Return the rows of the comparison at one budget, by the folder of the method.

    A method with several rows has its own settings in the first one.
    """
    rows = json.loads(SHARED.read_text())['rows']
    found = pd.json_normalize([row for row in rows if row['runs']])
    found.index = pd.Index([Path(runs[0]['config']).parent.name for runs in found.pop('runs')])
    return found


def shared_table() -> str:
    """Format the comparison at one budget, with the costs relative to cross-entropy."""
    found = shared_results()
    base = found.loc['cross_entropy']
    rows = [
        {
            'method': f'[{row["name"]}](../../configs/{folder}/README.md)',
            **{column: cell(row, column) for column in METRICS},
            'parameters': _times(row, base, 'parameters'),
            'prediction': _times(row, base, 'multiply_adds'),
            'training': _times(row, base, 'training_multiply_adds'),
            'views': row['cost.views'],
        }
        for folder, row in found.iterrows()
    ]
    return markdown_table(pd.DataFrame(rows)) + '\n'


def _times(row: pd.Series, base: pd.Series, key: str) -> str:
    return f'{row[f"cost.{key}"] / base[f"cost.{key}"]:.1f}'


def models(method: Path) -> list[dict[str, Any]]:
    """Return the entries under ``Models`` of a method's metafile.yml."""
    (collection,) = _metafile(method)['Collections']
    found = []
    for config, result in _configs(method):
        model: dict[str, Any] = {
            'Name': config.stem,
            'In Collection': collection['Name'],
            'Config': str(config.relative_to(ROOT)),
        }
        if not result.empty:
            metrics = {
                name: round(float(result[f'mean.{column}']), 2)
                for column, name in METRICS.items()
                if pd.notna(result.get(f'mean.{column}'))
            }
            data, task = dataset_title(config.stem), 'Image Classification'
            model['Results'] = [{'Dataset': data, 'Task': task, 'Metrics': metrics}]
        found.append(model)
    return found


def with_table(text: str, lines: str, name: str = 'results') -> str:
    """Return the text of a page with a table between the marks of that name."""
    head, rest = text.split(BEGIN.format(name))
    return head + BEGIN.format(name) + lines + END + rest.split(END, 1)[1]


def written(method: Path) -> dict[Path, str]:
    """Return the expected text of README.md and metafile.yml of a method."""
    readme, metafile = method / 'README.md', method / 'metafile.yml'
    content = {'Collections': _metafile(method)['Collections'], 'Models': models(method)}
    page = with_table(readme.read_text(), table(method))
    return {
        readme: with_table(page, published_table(method), 'published'),
        metafile: yaml.safe_dump(content, sort_keys=False, width=100),
    }


def written_pages() -> dict[Path, str]:
    """Return the expected text of the pages that docs/tables.yml names."""
    texts: dict[Path, str] = {}
    for name, entry in yaml.safe_load(TABLES.read_text()).items():
        lines = record_table(entry['record'], entry['rows'])
        for page in (ROOT / page for page in entry['pages']):
            texts[page] = with_table(texts.get(page) or page.read_text(), lines, name)
    page = ROOT / 'docs/en/methods.md'
    text = texts.get(page) or page.read_text()
    texts[page] = with_table(text, shared_table(), 'methods')
    return texts


def _configs(method: Path) -> list[tuple[Path, pd.Series]]:
    """Return each configuration of a method and its result of most seeds, or an empty series."""
    best = results().dropna(subset='config').drop_duplicates('config').set_index('config')
    return [
        (path, best.loc[name] if (name := str(path.relative_to(ROOT))) in best.index else _NONE)
        for path in sorted(method.glob('*.py'))
    ]


_NONE = pd.Series(dtype=object)


def _metafile(method: Path) -> dict[str, Any]:
    return yaml.safe_load((method / 'metafile.yml').read_text())


if __name__ == '__main__':
    for texts in (*map(written, methods()), written_pages()):
        for file, text in texts.items():
            file.write_text(text)
