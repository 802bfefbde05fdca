"""Numbers in sentences of the manual, computed again from the records."""

import itertools
import json
from pathlib import Path

import numpy as np

DOCS = Path(__file__).parents[2] / 'docs/en'


def test_results_with_the_same_seed_do_not_correlate():
    rows = json.loads((DOCS / 'results/methods_cifar20-lt.json').read_text())['rows']
    accuracies = [
        [run['metrics']['shot/overall'] for run in sorted(row['runs'], key=lambda run: run['seed'])]
        for row in rows
    ]
    pairs = [np.corrcoef(one, two)[0, 1] for one, two in itertools.combinations(accuracies, 2)]
    said = f'over the {len(pairs)} pairs of methods'
    text = (DOCS / 'user_guides/evaluation.md').read_text()
    assert said in text
    assert f'correlation of only {abs(np.mean(pairs)):.2f}' in text
