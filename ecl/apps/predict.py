"""Predict files and folders of images; print the result or write it."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ecl.apis.faults import out_of_memory
from ecl.apis.inference import Guess, Prediction, Predictor
from ecl.apps.review import read_thresholds
from ecl.datasets.image_file import EXTENSIONS, find_images
from ecl.engine.resume.atomic_file import atomic_write, check_folder
from ecl.errors import UserError


@dataclass
class ImagePrediction:
    """Most probable classes of an image, or the reason why there are none.

    Attributes:
        path: File of the image.
        guesses: Best first; empty if the file is not a valid image.
        fault: Error of the file; empty for a valid image.
        accepted: Whether the confidence reaches the threshold of the class: True without
            thresholds, False where there is a fault.
    """

    path: str
    guesses: list[Guess]
    fault: str = ''
    accepted: bool = False


def predict(
    checkpoint: str | Path,
    source: str | Path | Sequence[str | Path],
    topk: int = 5,
    expert: int | None = None,
    out: str | Path | None = None,
    batch_size: int = 32,
    device: str | None = None,
    tau: float | None = None,
    adjust: str | None = None,
    thresholds: str | Path | None = None,
) -> list[ImagePrediction]:
    """Predict images and all images under folders; print the results or write them.

    Args:
        checkpoint: As for :class:`~ecl.apis.Predictor`.
        source: An image, or a folder that is searched at any depth; or several of them. An image
            that is given twice is predicted once.
        topk: Number of classes to name for each image.
        expert: Predict with this expert alone, 0 to K - 1; None is the whole model.
        out: ``.csv`` (a line for each image and class) or ``.json`` file to write instead of
            printing.
        batch_size: Images in one forward pass.
        device: Such as 'cpu' or 'cuda:1'. By default a GPU if there is one.
        tau: As for :class:`~ecl.apis.Predictor`.
        adjust: As for :class:`~ecl.apis.Predictor`.
        thresholds: File of :func:`~ecl.apps.review.review`: the model abstains from a prediction
            whose confidence is below the threshold of its class. Thresholds are valid only for the
            whole model without an adjustment.

    Returns:
        The predictions, in the order of the sources and paths. Files that are not valid images
        follow, and are listed on standard error.

    Raises:
        UserError: If the checkpoint or an argument cannot be used, or there is no image.
    """
    _check(topk, batch_size, out)
    _check_scores(tau, expert, thresholds)
    found = [_find(Path(each)) for each in ([source] if isinstance(source, str | Path) else source)]
    paths = list(dict.fromkeys(path for images, _ in found for path in images))
    others = {path: fault for _, faults in found for path, fault in faults.items()}
    predictor = Predictor(checkpoint, device, tau, adjust)
    if expert is not None and not 0 <= expert < predictor.num_experts:
        raise UserError(f'--expert {expert}: the model has {predictor.num_experts} experts')
    limits = None if thresholds is None else read_thresholds(thresholds, predictor.classes)
    results = []
    for path, outcome in predict_files(predictor, paths, batch_size):
        if isinstance(outcome, str):
            results.append(ImagePrediction(path, [], outcome))
        else:
            guesses = predictor.top(outcome, topk, expert)
            accepted = limits is None or guesses[0].score >= limits[guesses[0].label]
            results.append(ImagePrediction(path, guesses, accepted=bool(accepted)))
    results += [ImagePrediction(path, [], fault) for path, fault in others.items()]
    if out is None:
        print(_text(results))
    else:
        with atomic_write(out) as file:
            text = (_json if str(out).endswith('.json') else _csv)(results)
            # A name may hold bytes that are not UTF-8; as \\udcff they are valid JSON too.
            file.write(text.encode(errors='backslashreplace'))
    faulty = [result for result in results if result.fault]
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    for result in faulty:
        console.print(f'skipped {result.path}: {result.fault}')
    if faulty:
        console.print(f'{len(faulty)} of {len(results)} files are not valid images')
    return results


def predict_files(
    predictor: Predictor, paths: Sequence[str], batch_size: int = 32
) -> Iterator[tuple[str, Prediction | str]]:
    """Predict many files with a progress bar; a file that is not a valid image is skipped.

    Args:
        predictor: A predictor.
        paths: Files.
        batch_size: Images in one forward pass.

    Yields:
        Each file, in the order given, with its prediction or its error.

    Raises:
        UserError: If memory runs out.
    """

    def prepare(path: str) -> dict[str, Any] | str:
        try:
            return predictor.prepare(path)
        except UserError as error:
            return str(error).removeprefix(f'{path}: ')

    # Decoding releases the global interpreter lock, so threads are enough.
    with (
        Progress(console=Console(stderr=True), transient=True) as progress,
        ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool,
    ):
        task = progress.add_task('predicting', total=len(paths))
        for start in range(0, len(paths), batch_size):
            batch = paths[start : start + batch_size]
            prepared = list(pool.map(prepare, batch))
            sound = [item for item in prepared if not isinstance(item, str)]
            try:
                predictions = iter(predictor.predict_batch(sound) if sound else ())
            except (RuntimeError, MemoryError) as error:
                if fault := out_of_memory(error):
                    raise UserError(f'{fault}: lower --batch-size (now {batch_size})') from error
                raise
            for path, item in zip(batch, prepared, strict=True):
                yield path, item if isinstance(item, str) else next(predictions)
            progress.advance(task, len(batch))


def _check(topk: int, batch_size: int, out: str | Path | None) -> None:
    for name, value in (('--topk', topk), ('--batch-size', batch_size)):
        if value < 1:
            raise UserError(f'{name} must be at least 1, not {value}')
    if out is None:
        return
    if not str(out).endswith(('.csv', '.json')):
        raise UserError(f'--out {out}: the name must end in .csv or .json')
    check_folder(out)


def _check_scores(tau: float | None, expert: int | None, thresholds: str | Path | None) -> None:
    if thresholds is not None and (expert is not None or tau is not None):
        raise UserError(
            '--thresholds are only valid for the whole model without adjustment: remove '
            '--expert, --tau and --adjust, or --thresholds'
        )


def _find(source: Path) -> tuple[list[str], dict[str, str]]:
    """Return the images and, with the reason, the other files of a source."""
    if source.is_file():
        return [str(source)], {}
    if not source.is_dir():
        raise UserError(f'{source} does not exist. Give an image or a folder of images.')
    images, others = find_images(source)
    if not images:
        raise UserError(
            f'{source} has no image: got {len(others)} other files, expected files that end in '
            f'{", ".join(EXTENSIONS)}, or are images by content.'
        )
    full = {str(source / path): fault for path, fault in others.items()}
    return [str(source / path) for path in images], full


def _text(results: Sequence[ImagePrediction]) -> str:
    return '\n'.join(
        f'{result.path}{"" if result.accepted else "  (not sure)"}\n'
        + '\n'.join(
            f'  {100 * guess.score:6.2f} %  {guess.name}'
            + (f' ({guess.shot_group}-shot)' if guess.shot_group else '')
            for guess in result.guesses
        )
        for result in results
        if not result.fault
    )


def _csv(results: Sequence[ImagePrediction]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(('path', 'rank', 'label', 'class', 'score', 'shot_group', 'accepted'))
    for result in results:
        for rank, guess in enumerate(result.guesses, 1):
            score = f'{guess.score:.6f}'
            group = guess.shot_group or ''
            row = (result.path, rank, guess.label, guess.name, score, group, result.accepted)
            writer.writerow(row)
    return text.getvalue()


def _json(results: Sequence[ImagePrediction]) -> str:
    return json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False) + '\n'
