"""Compare how methods spread their predictions over frequent and rare classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecl.apis.inference import collect_predictions
from ecl.apps.experiments.compare import read_json, read_methods
from ecl.apps.experiments.table import write_results
from ecl.engine.resume.atomic_file import check_folder
from ecl.errors import UserError
from ecl.evaluation import PredictionShare, markdown_table
from ecl.evaluation.prediction_share import describe_thirds
from ecl.visualization import prediction_share_figure


def prediction_share(
    paths: Sequence[str | Path],
    out: str | Path,
    cfg_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draw predicted images and confidence per class over the rank of the class.

    The final checkpoint of each training predicts the test images. A model whose experts have two
    classifiers has one curve for each kind of classifier.

    Args:
        paths: Work dirs of finished trainings, or folders of work dirs (seeds of one method, whose
            curves are averaged). All have the same classes. ``OUT.json`` of an earlier call adds
            its curves, before the others.
        out: Files to write, without extension: ``OUT.json``, ``OUT.md``, ``OUT.png``.
        cfg_options: Values by dotted key that replace those of the trainings' configurations.

    Returns:
        The content of the JSON file: ``options``, and ``curves`` with ``name``, ``seeds``,
        ``share`` and ``confidence`` per class, and the values of
        :meth:`~ecl.evaluation.PredictionShare.summary`.

    Raises:
        UserError: If a training does not exist, two curves have one name, or the numbers of classes
            differ.
    """
    check_folder(out)
    kept = [path for path in paths if Path(path).suffix == '.json']
    curves = [curve for path in kept for curve in _read_curves(Path(path))]
    for method in read_methods([path for path in paths if path not in kept]):
        if not method.work_dirs:
            raise UserError(f'{method.name} is not a work dir or a folder of work dirs')
        counts = method.records[0]['class_counts']
        if counts is None:
            raise UserError(
                f'{method.work_dirs[0]}: got no class_counts. Train with ClassCountsHook.'
            )
        found = [predict_shares(folder, counts, cfg_options) for folder in method.work_dirs]
        for classifier in found[0]:
            values = PredictionShare.mean([by_kind[classifier] for by_kind in found])
            curves.append(
                {
                    'name': f'{method.name}, {classifier}' if classifier else method.name,
                    'seeds': [record.get('seed') for record in method.records],
                    'share': _plain(values.share),
                    'confidence': _plain(values.confidence),
                    **values.summary(),
                }
            )
    shares = {
        curve['name']: PredictionShare(
            *(np.array(curve[key], dtype=float) for key in ('share', 'confidence'))
        )
        for curve in curves
    }
    if len(shares) < len(curves):
        raise UserError(f'two curves have one name: got {[curve["name"] for curve in curves]}')
    sizes = {name: len(values.share) for name, values in shares.items()}
    if len(set(sizes.values())) > 1:
        raise UserError(f'the trainings differ in their number of classes: got {sizes}')
    prediction_share_figure(shares).savefig(f'{out}.png', dpi=150)
    result = {'options': dict(cfg_options or {}), 'curves': curves}
    text = _text(curves, Path(out).name)
    write_results(out, text, result)
    print(text)
    return result


def _read_curves(path: Path) -> list[dict[str, Any]]:
    content = read_json(path)
    if not isinstance(content, Mapping) or 'curves' not in content:
        raise UserError(f'{path} holds no curves: name a work dir, or a record of them')
    return content['curves']


def predict_shares(
    work_dir: Path, class_counts: Sequence[int], cfg_options: Mapping[str, Any] | None = None
) -> dict[str, PredictionShare]:
    """Predict the test images of a training, and compute the shares of its classifiers.

    Args:
        work_dir: Folder of the training.
        class_counts: Training images of each class, length C.
        cfg_options: Values by dotted key that replace those of the configuration.

    Returns:
        Values by the kind of classifier; under the empty name if an expert has one classifier.

    Raises:
        UserError: If there is no checkpoint, or it cannot be used.
    """
    predictions = collect_predictions(work_dir, cfg_options)
    by_kind = predictions.by_classifier or {'': predictions}
    return {kind: PredictionShare.of(found, class_counts) for kind, found in by_kind.items()}


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _text(curves: Sequence[Mapping[str, Any]], name: str) -> str:
    frame = pd.DataFrame(
        {
            'classifier': curve['name'],
            'seeds': len(curve['seeds']),
            'slope': curve['share_slope'],
            'predicted images, thirds': describe_thirds(curve['share_thirds'], 0),
            'confidence, thirds': describe_thirds(curve['confidence_thirds'], 2),
        }
        for curve in curves
    )
    return (
        f'# Predicted images and confidence per class, {name}\n\n{markdown_table(frame)}\n\n'
        'Predicted images of a class: in percent of its test images. Slope: '
        'change of the linear trend from one class to the next, in the order of the training '
        'images. Thirds: mean over the first, second and last third of the classes. Confidence: '
        'mean probability of the predicted class. Ensemble, mean over the seeds.'
    )
