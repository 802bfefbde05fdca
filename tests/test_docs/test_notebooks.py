"""Tests of the notebooks: their code cells run, with a short training."""

import ast
import json
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

NOTEBOOKS = Path(__file__).parents[2] / 'docs' / 'notebooks'


@pytest.fixture
def run_cells(monkeypatch, fresh_engine_state):
    """Run the code cells of a notebook in its folder, with other values of its settings.

    Returns the names that the cells define, and the values that Jupyter would display.
    """

    def run(notebook, **settings):
        monkeypatch.chdir(NOTEBOOKS)
        names, shown = {}, []
        for cell in json.loads((NOTEBOOKS / notebook).read_text('utf-8'))['cells']:
            if cell['cell_type'] != 'code':
                continue
            source = ''.join(line for line in cell['source'] if not line.startswith('%'))
            for name, value in settings.items():
                source = re.sub(
                    rf'^{name} = .*$', f'{name} = {value!r}', source, flags=re.MULTILINE
                )
            tree = ast.parse(source)
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, notebook, 'exec'), names)
            if last:
                shown.append(eval(compile(ast.Expression(last.value), notebook, 'eval'), names))
        return names, [value for value in shown if value is not None]

    return run


def test_first_steps(run_cells, tmp_path, capsys):
    names, shown = run_cells('first_steps.ipynb', WORK_DIR=str(tmp_path), EPOCHS=2)
    assert len(names['record']['class_counts']) == 10
    assert all(isinstance(figure, Figure) for figure in shown)
    assert len(shown) == 4
    printed = capsys.readouterr().out
    assert '| ensemble ' in printed
    assert len(re.findall(r'^\d: [\d.]+ % \(\w+-shot\)$', printed, re.MULTILINE)) == 3
