"""What the manual takes from the code, and what it says of the files."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from modelindex.load_model_index import load as load_model_index

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / 'docs'))

import model_zoo  # noqa: E402
import toolbox_pages  # noqa: E402

PAGES = [*ROOT.glob('*.md'), *ROOT.glob('docs/en/**/*.md'), *ROOT.glob('configs/*/README.md')]
METHODS = [path.name for path in model_zoo.methods()]


@pytest.mark.parametrize('path', toolbox_pages.tools(), ids=lambda path: path.name)
def test_every_option_of_a_tool_says_what_it_is_for(path):
    for parser in toolbox_pages.commands(toolbox_pages.tool_parser(path)).values():
        told = dict(toolbox_pages.options(parser))
        assert told
        assert all(told.values()), told


@pytest.mark.parametrize('name', METHODS)
def test_tables_and_metafiles_are_up_to_date(name):
    for path, text in model_zoo.written(ROOT / 'configs' / name).items():
        assert path.read_text() == text, 'run: python docs/model_zoo.py'


@pytest.mark.parametrize(
    ('page', 'rows'), model_zoo.PAGES.items(), ids=lambda p: getattr(p, 'name', '')
)
def test_tables_of_the_ablation_are_up_to_date(page, rows):
    assert page.read_text() == model_zoo.with_table(page, model_zoo.ablation_table(rows))


@pytest.mark.parametrize('name', METHODS)
def test_every_result_is_that_of_a_record(name):
    metafile = yaml.safe_load((ROOT / 'configs' / name / 'metafile.yml').read_text())
    records = [json.loads(p.read_text()) for p in ROOT.glob('docs/en/results/*.json')]
    readme = (ROOT / 'configs' / name / 'README.md').read_text()
    for model in metafile['Models']:
        (row,) = re.findall(rf'^\| \[`{re.escape(model["Name"])}`\].*$', readme, re.MULTILINE)
        cells = [cell.strip() for cell in row.split('|')[5:9]]
        reached = [value for record in records for value in _overall(record, model['Config'])]
        if not reached:
            assert 'Results' not in model
            assert cells == [''] * 4
        else:
            overall = model['Results'][0]['Metrics']['Top 1 Accuracy']
            assert min(reached) - 0.005 <= overall <= max(reached) + 0.005
            assert cells[0].split(' ')[0] == f'{overall:.1f}'


def _overall(node, config):
    """Accuracies of a configuration's runs, at any depth of a record."""
    if isinstance(node, dict):
        if node.get('config') == config and 'shot/overall' in node.get('metrics', ()):
            yield node['metrics']['shot/overall']
        for value in node.values():
            yield from _overall(value, config)
    elif isinstance(node, list):
        for value in node:
            yield from _overall(value, config)


def test_the_model_index_names_every_method(monkeypatch):
    monkeypatch.chdir(ROOT)
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert sorted(Path(p).parent.name for p in index['Import']) == sorted(METHODS)
    folders = {path.parent.name for path in ROOT.glob('configs/*/*.py')} - {'_base_'}
    assert folders == set(METHODS)
    loaded = load_model_index(str(ROOT / 'model-index.yml'))
    loaded.check(silent=True)
    assert len(loaded.models) == len(list(ROOT.glob('configs/[!_]*/*.py')))


def test_a_matrix_counts_by_its_seeds(monkeypatch, tmp_path):
    run = {'config': 'a.py', 'metrics': {'shot/overall': 1.0}}
    row = {'mean': {'overall': 50.0}, 'std': {'overall': 2.0}, 'runs': [run, run]}
    (tmp_path / 'a.json').write_text(json.dumps(run))
    (tmp_path / 'b.json').write_text(json.dumps({'rows': [row, {'mean': {}}]}))
    monkeypatch.setattr(model_zoo, 'RESULTS', tmp_path)
    found = model_zoo.results()['a.py']
    assert (found.mean, found.num_seeds, found.source.name) == ({'overall': 50.0}, 2, 'b.json')
    assert model_zoo._cell(found, 'overall') == '50.0 ± 2.0'
    assert model_zoo._cell(found, 'few') == model_zoo._cell(None, 'few') == ''


@pytest.mark.parametrize('page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in re.findall(r'\]\((?!http)([^)#\s]+)', page.read_text()):
        if '_generated/' not in target:
            assert (page.parent / target).exists(), target
