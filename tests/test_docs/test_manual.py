"""Tests of the parts of the manual that scripts write: tools, tables, formulas, links."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import mathml
import model_zoo
import pandas as pd
import pytest
import toolbox_pages
import yaml
from docutils import nodes
from modelindex.load_model_index import load as load_model_index
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob('*.md'), *ROOT.glob('docs/en/**/*.md'), *ROOT.glob('configs/*/README.md')]
METHODS = [path.name for path in model_zoo.methods()]


@pytest.mark.parametrize('path', toolbox_pages.tools(), ids=lambda path: path.name)
def test_every_option_of_a_tool_says_what_it_is_for(path):
    for parser in toolbox_pages.commands(toolbox_pages.tool_parser(path)).values():
        told = dict(toolbox_pages.options(parser))
        assert told
        assert all(told.values()), told


def test_the_page_of_the_tools_is_the_same_on_every_machine_and_holds_no_html():
    page = toolbox_pages.tools_page()
    assert str(ROOT) not in page
    assert '(default: True)' not in page
    assert not re.findall(r'<\w+>', re.sub(r'```.*?```|`[^`]*`', '', page, flags=re.DOTALL))


@pytest.mark.parametrize('name', METHODS)
def test_tables_and_metafiles_are_up_to_date(name):
    for path, text in model_zoo.written(ROOT / 'configs' / name).items():
        assert path.read_text() == text, 'run: python docs/model_zoo.py'


def test_tables_on_pages_are_up_to_date():
    pages = model_zoo.written_pages()
    assert pages
    for path, text in pages.items():
        assert path.read_text() == text, 'run: python docs/model_zoo.py'


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
        options = set(node.get('cfg_options') or ()) - set(model_zoo.TECHNICAL)
        own = node.get('config') == config and not options
        if own and 'shot/overall' in node.get('metrics', ()):
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


def test_the_result_of_most_seeds_comes_first(monkeypatch, tmp_path):
    run = {'config': 'a.py', 'seed': 0, 'metrics': {'shot/overall': 1.0}}
    row = {'name': 'r', 'mean': {'overall': 50.0}, 'std': {'overall': 2.0}, 'seeds': [0, 1]}
    (tmp_path / 'a.json').write_text(json.dumps(run))
    (tmp_path / 'b.json').write_text(json.dumps({'rows': [{**row, 'runs': [run, run]}]}))
    (tmp_path / 'c.json').write_text(json.dumps({'rows': [{'images': 3}]}))
    (tmp_path / 'd.json').write_text('[1]')
    monkeypatch.setattr(model_zoo, 'RESULTS', tmp_path)
    first, second = (line for _, line in model_zoo.results().iterrows())
    assert (first['config'], first['num_seeds'], first['source'].name) == ('a.py', 2, 'b.json')
    assert (second['config'], second['num_seeds'], second['source'].name) == ('a.py', 1, 'a.json')
    assert model_zoo.cell(first, 'overall') == '50.0 ± 2.0'
    assert model_zoo.cell(second, 'overall') == '1.0'
    assert model_zoo.cell(first, 'few') == model_zoo.cell(pd.Series(dtype=object), 'few') == ''


def test_a_row_with_changed_options_is_no_result_of_its_config(monkeypatch, tmp_path):
    run = {'config': 'a.py', 'seed': 0, 'metrics': {}, 'cfg_options': {'model.head.expert': 1}}
    row = {'name': 'r', 'mean': {'overall': 50.0}, 'seeds': [0], 'runs': [run]}
    (tmp_path / 'a.json').write_text(json.dumps({'rows': [row]}))
    monkeypatch.setattr(model_zoo, 'RESULTS', tmp_path)
    found = model_zoo.results()
    assert found['name'].tolist() == ['r']
    assert found['config'].isna().all()


def test_a_table_goes_between_its_marks():
    marks = [(model_zoo.BEGIN.format(name), model_zoo.END) for name in 'ab']
    page = 'x\n{}old\n{}y\n{}{}'.format(*marks[0], *marks[1])
    written = model_zoo.with_table(page, '| c |\n', 'b')
    assert written == 'x\n{}old\n{}y\n{}| c |\n{}'.format(*marks[0], *marks[1])


def test_methods_page_lists_every_method():
    page = (ROOT / 'docs' / 'en' / 'methods.md').read_text()
    overview, results = page.split('## Results')
    link = r'^\|.*\(../../configs/(\w+)/README.md\).*\|$'
    assert sorted(re.findall(link, overview, re.MULTILINE)) == sorted(METHODS)
    # The probe needs a pretrained network.
    assert set(re.findall(link, results, re.MULTILINE)) == set(METHODS) - {'linear_probe'}


def test_formulas_become_mathml(caplog):
    block = mathml.mathml(nodes.math_block('', r'\frac{1}{N}'))
    assert '<mfrac>' in block
    assert 'display="block"' in block
    assert '<msub>' in mathml.mathml(nodes.math('', 'a_k'))


def test_an_invalid_formula_is_shown_as_source():
    assert mathml.mathml(nodes.math('', r'\nonsense<')) == r'<code>\nonsense&lt;</code>'


def test_links_to_configs_lead_to_the_page_of_results():
    source = ['[NCL](../../configs/ncl/README.md): 1.0 ± 0.2']
    toolbox_pages.adapt_source(None, 'methods', source)
    assert source == ['[NCL](#method-ncl): 1.0\u00a0±\u00a00.2']


@pytest.mark.parametrize('page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in re.findall(r'\]\((?!http)([^)#\s]+)', page.read_text()):
        if '_generated/' not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    'element',
    [
        '<script src="https://a.b/c.js"></script>',
        '<script async="async" src="//a.b/c.js"></script>',
        '<img alt="x" src="http://a.b/c.png">',
        '<link rel="stylesheet" href="https://a.b/c.css">',
        '<link href="https://a.b/c.css" rel="stylesheet">',
    ],
)
def test_a_page_that_loads_from_the_network_is_refused(element, tmp_path):
    app = SimpleNamespace(outdir=tmp_path)
    (tmp_path / 'good.html').write_text('<a href="https://a.b"></a><script src="c.js"></script>')
    toolbox_pages.check_offline(app, None)
    (tmp_path / 'bad.html').write_text(element)
    with pytest.raises(ExtensionError, match=r'bad\.html'):
        toolbox_pages.check_offline(app, None)
