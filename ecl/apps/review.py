"""Review a trained model: thresholds for abstention, worst errors, likely wrong labels."""

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mmengine.config import Config
from mmpretrain.models import BaseClassifier
from rich.console import Console
from rich.progress import track

from ecl.apis.checkpoint import final_checkpoint, read_config
from ecl.apis.inference import build_loader, predict_batches
from ecl.apis.models import build_model
from ecl.apps.report.page import data_address, template
from ecl.checkpoint_file import load_checkpoint
from ecl.datasets.class_names import class_names
from ecl.engine.methods.adjustment import validates_on_test
from ecl.engine.resume.atomic_file import write_text
from ecl.errors import UserError
from ecl.evaluation import acceptance, class_thresholds
from ecl.shots import configured_thresholds, shot_groups

#: Accuracies of the accepted predictions that the page shows.
WANTED = (0.8, 0.9, 0.95, 0.98, 0.99)
#: Images of a sheet, and classes of the table.
SHEET, WEAKEST = 48, 12


@dataclass
class Scored:
    """Data set with its predictions.

    Attributes:
        kind: ``'test'`` or ``'validation'``.
        dataset: The data set.
        paths: File of each image, length N; empty strings where the data has no files.
        labels: Annotated classes, (N,).
        scores: Probabilities (N, C).
    """

    kind: str
    dataset: Any
    paths: list[str]
    labels: np.ndarray
    scores: np.ndarray

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predicted classes, (N,)."""
        return self.scores.argmax(1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, (N,)."""
        return self.scores.max(1)

    def part(self, places: slice) -> 'Scored':
        """Return some of the images."""
        return replace(
            self, paths=self.paths[places], labels=self.labels[places], scores=self.scores[places]
        )


def review(work_dir: str | Path, accuracy: float = 0.95, out: str | Path | None = None) -> Path:
    """Write a review of a training: thresholds, worst errors, likely wrong labels.

    Three files are written:

    - ``review.html``: the cost of abstaining, the classes to photograph next, the worst errors and
      the likely wrong labels.
    - ``thresholds.json``: a threshold for each class, for ``ecl predict --thresholds``.
    - ``wrong_labels.csv``: the likely wrong labels, found by confident learning (Northcutt et al.,
      JAIR 2021, arXiv 1911.00068), the most doubtful first.

    Thresholds are chosen on the validation data, and their cost is measured on the test data. If
    the two are the same, each of them uses every second image. No training image is used, because a
    model is overconfident on them.

    Args:
        work_dir: Folder that the training wrote.
        accuracy: Share of the accepted predictions that should be right, in (0, 1).
        out: Folder of the files; by default the work dir.

    Returns:
        The page.

    Raises:
        UserError: If the accuracy is not in (0, 1), the folder holds no checkpoint, or its data
            cannot be used.
    """
    if not 0 < accuracy < 1:
        raise UserError(f'--accuracy: got {accuracy:g}, expected a share above 0 and below 1.')
    import cleanlab.filter  # noqa: F401 - optional; fail before the work if it is missing

    checkpoint = _checkpoint_of(Path(work_dir))
    content = load_checkpoint(checkpoint)
    cfg = read_config(content, checkpoint)
    model = build_model(content, cfg, checkpoint)
    test = _predict(model, cfg, 'test')
    images = [test]
    if validates_on_test(cfg):
        choice, shown = test.part(slice(0, None, 2)), test.part(slice(1, None, 2))
        chosen_on, shown_on = 'every second test image', 'the other test images'
    else:
        choice, shown = _predict(model, cfg, 'validation'), test
        images.append(choice)
        chosen_on, shown_on = 'the validation images', 'the test images'
    num_classes = test.scores.shape[1]
    counts = content['meta'].get('class_counts') or [0] * num_classes
    known = class_names(test.dataset)
    names = [str(known[i]) if known else f'class {i}' for i in range(num_classes)]
    thresholds = _choose(choice, accuracy)
    wrong = pd.concat([_wrong_labels(scored, names) for scored in images])
    wrong = wrong.sort_values('doubt', ascending=False, kind='stable')
    to_rgb = bool(getattr(model.data_preprocessor, 'to_rgb', False))
    groups = shot_groups(counts, configured_thresholds(cfg)) if any(counts) else {}
    note = f'thresholds.json holds those for {accuracy:.0%}.'
    if not np.isfinite(thresholds).any():
        none = f'No threshold reaches {accuracy:.0%} on {len(choice.labels)} images ({chosen_on}).'
        note += f' {none} Every prediction is marked as not sure.'
        print(none, file=sys.stderr)
    folder = Path(out or work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    page = template('review.html').render(
        name=Path(work_dir).resolve().name,
        chosen_on=chosen_on,
        shown_on=shown_on,
        groups=list(groups),
        abstaining=[_row(wanted, choice, shown, groups) for wanted in sorted({*WANTED, accuracy})],
        thresholds_note=note,
        weakest=_weakest(test, counts, names),
        sheets=_sheets(test, images, wrong, names, to_rgb),
    )
    settings = dict(accuracy=accuracy, chosen_on=chosen_on)
    limits = {
        name: float(t) if np.isfinite(t) else None
        for name, t in zip(names, thresholds, strict=True)
    }
    write_text(folder / 'thresholds.json', json.dumps({**settings, 'thresholds': limits}, indent=1))
    columns = ['kind', 'path', 'place', 'label', 'predicted', 'doubt']
    write_text(folder / 'wrong_labels.csv', wrong[columns].to_csv(index=False))
    write_text(folder / 'review.html', page)
    return folder / 'review.html'


def read_thresholds(path: str | Path, names: Sequence[str]) -> np.ndarray:
    """Read the thresholds that :func:`review` wrote.

    Args:
        path: ``thresholds.json``.
        names: Class names of the model, length C.

    Returns:
        Thresholds (C,); infinity for a class whose predictions are never accepted.

    Raises:
        UserError: If the file is missing or invalid, or lacks a class.
    """
    try:
        limits = json.loads(Path(path).read_text())['thresholds']
        found = [limits[name] for name in names]
        return np.array([np.inf if t is None else float(t) for t in found])
    except OSError as error:
        raise UserError(
            f'{path} cannot be read: {error.strerror}. Run ecl review first.'
        ) from error
    except KeyError as error:
        raise UserError(f'{path} has no {error}: it belongs to another model.') from error
    except (TypeError, ValueError) as error:
        raise UserError(f'{path} holds no thresholds as ecl review writes them.') from error


def _checkpoint_of(work_dir: Path) -> str:
    """Return the final checkpoint of a training."""
    if work_dir.is_file():
        raise UserError(f'{work_dir} is a file. Give the work dir: {work_dir.parent}')
    checkpoint = final_checkpoint(work_dir) if work_dir.is_dir() else None
    if checkpoint is None:
        raise UserError(f'{work_dir} holds no checkpoint. Give the work dir of a training.')
    return checkpoint


def _predict(model: BaseClassifier, cfg: Config, kind: str) -> Scored:
    loader = build_loader(cfg, {'test': 'test_dataloader', 'validation': 'val_dataloader'}[kind])
    batches = track(loader, f'predicting {kind} data', console=Console(stderr=True))
    paths, labels, scores = [], [], []
    for _, samples in predict_batches(model, batches):
        paths += [str(sample.get('img_path', '')) for sample in samples]
        labels.append(torch.cat([sample.gt_label for sample in samples]).cpu())
        scores.append(torch.stack([sample.pred_score for sample in samples]).float().cpu())
    return Scored(kind, loader.dataset, paths, torch.cat(labels).numpy(), torch.cat(scores).numpy())


def _choose(scored: Scored, accuracy: float) -> np.ndarray:
    num_classes = scored.scores.shape[1]
    return class_thresholds(
        scored.labels, scored.predicted, scored.confidence, num_classes, accuracy
    )


def _row(
    wanted: float, choice: Scored, shown: Scored, groups: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Return a line of the table on abstaining, as text."""
    thresholds = _choose(choice, wanted)
    found = acceptance(shown.labels, shown.predicted, shown.confidence, thresholds)
    kept = shown.confidence >= thresholds[shown.predicted]
    shares = {name: kept[np.isin(shown.labels, classes)] for name, classes in groups.items()}
    return dict(
        wanted=f'{100 * wanted:g}',
        accuracy='-' if np.isnan(found.accuracy) else f'{100 * found.accuracy:.1f}',
        accepted=f'{100 * found.accepted:.1f}',
        groups={n: f'{100 * s.mean():.1f}' if len(s) else '-' for n, s in shares.items()},
    )


def _weakest(scored: Scored, counts: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the classes with the lowest accuracy; of equal ones, those with fewer images first."""
    rows = []
    for label, name in enumerate(names):
        predicted = scored.predicted[scored.labels == label]
        if len(predicted) == 0:
            continue
        mistakes = np.bincount(predicted[predicted != label], minlength=1)
        rows.append(
            {
                'class': name,
                'accuracy': 100 * float((predicted == label).mean()),
                'tested': len(predicted),
                'train': int(counts[label]),
                'mistaken_for': names[int(mistakes.argmax())] if mistakes.any() else '',
            }
        )
    return sorted(rows, key=lambda row: (row['accuracy'], row['train']))[:WEAKEST]


def _worst(scored: Scored) -> list[int]:
    wrong = np.flatnonzero(scored.predicted != scored.labels)
    return wrong[np.argsort(-scored.confidence[wrong], kind='stable')][:SHEET].tolist()


def _wrong_labels(scored: Scored, names: Sequence[str]) -> pd.DataFrame:
    """Return the images whose label is likely wrong, by cleanlab's confident learning."""
    from cleanlab.filter import find_label_issues  # an extra

    with warnings.catch_warnings():
        # It warns about classes with few images, which are normal in long-tailed data.
        warnings.simplefilter('ignore')
        found = find_label_issues(
            scored.labels,
            scored.scores / scored.scores.sum(1, keepdims=True),
            return_indices_ranked_by='self_confidence',
            n_jobs=1,
        )
    places = np.asarray(found, dtype=np.int64)
    return pd.DataFrame(
        dict(
            path=[scored.paths[i] for i in places],
            place=places,
            label=[names[i] for i in scored.labels[places]],
            predicted=[names[i] for i in scored.predicted[places]],
            doubt=(1 - scored.scores[places, scored.labels[places]]).round(4),
            kind=scored.kind,
        )
    )


def _sheets(
    test: Scored, images: Sequence[Scored], wrong: pd.DataFrame, names: Sequence[str], to_rgb: bool
) -> list[dict[str, Any]]:
    """Return the sheets of images: worst errors on the test data, likely wrong labels of all."""
    by_kind = {scored.kind: scored for scored in images}
    return [
        dict(
            title='Worst errors',
            guide='Wrong predictions for test images, the most confident first.',
            images=[_image(test, place, names, to_rgb) for place in _worst(test)],
        ),
        dict(
            title='Likely wrong labels',
            guide=f'{len(wrong)} {" and ".join(by_kind)} images whose label is likely wrong, the '
            'most doubtful first; wrong_labels.csv lists all. The weaker the model, the more of '
            'them are its own errors.',
            images=[
                _image(by_kind[row.kind], row.place, names, to_rgb)
                for row in wrong[:SHEET].itertuples()
            ],
        ),
    ]


def _image(scored: Scored, place: int, names: Sequence[str], to_rgb: bool) -> dict[str, Any]:
    return dict(
        source=data_address(scored.dataset, place, to_rgb),
        path=scored.paths[place],
        true=names[scored.labels[place]],
        predicted=names[scored.predicted[place]],
        confidence=100 * float(scored.confidence[place]),
    )
