"""Evaluate a checkpoint on the test data."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.evaluator import DumpResults
from mmengine.registry import DefaultScope
from torch import Tensor

from ecl.apis.checkpoint import find_checkpoint
from ecl.apis.config import ConfigLike, check_work_dir, config_name, load_config
from ecl.apis.config_check import walk
from ecl.apis.faults import explain_faults
from ecl.apis.launch import set_launcher
from ecl.apis.models import CONTRAST, preprocessor_config
from ecl.checkpoint_file import load_checkpoint
from ecl.datasets import gt_labels
from ecl.datasets.in_memory import without_memory
from ecl.engine.hooks.console import ConsoleHook
from ecl.engine.methods import adaptation
from ecl.engine.methods.adjustment import adjust_model, check_adjustment, describe
from ecl.engine.resume.atomic_file import check_folder, write_text
from ecl.engine.resume.runner import ResumableRunner
from ecl.errors import UserError
from ecl.evaluation import (
    PredictionRecord,
    Predictions,
    accuracy_by_distribution,
    accuracy_on_lists,
    calibration_errors,
    class_table,
    distribution_table,
    further_line,
    interval_line,
    metric_table,
)
from ecl.evaluation.table import ECE
from ecl.registry import DATASETS, type_name
from ecl.shots import configured_thresholds
from ecl.weights import bare_model

#: Suffixes of files that hold the prediction of each image.
_PICKLES = ('.pkl', '.pickle')


def test(
    config: ConfigLike,
    checkpoint: str | Path,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    per_class: str | Path | None = None,
    imbalance_factors: Sequence[float] = (),
    test_lists: Sequence[str | Path] = (),
    tta: bool = False,
    adjust: str | None = None,
    tau: float | str | None = None,
    adapt: bool = False,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
    verbose: bool = False,
    show_dir: str | Path | None = None,
) -> dict[str, float]:
    """Evaluate a checkpoint on the test data and print the many / medium / few table.

    Args:
        config: The configuration of the checkpoint's training; see
            :func:`~ecl.apis.config.load_config`.
        checkpoint: A checkpoint file, the work dir of a training, or the name of a shipped model.
        work_dir: Folder of the training; the test writes to its subfolder ``test``. By default as
            in training.
        out: JSON file to write the metrics to, or ``.pkl`` file for the prediction of each image,
            as MMEngine's ``DumpResults`` writes it.
        per_class: CSV file to write the accuracy of each class to, beside its training images.
        imbalance_factors: Other test distributions to print the accuracy under; see
            :func:`~ecl.evaluation.accuracy_by_distribution`.
        test_lists: Lists of some of the test images, such as the public ones of other
            distributions, to print the accuracy on.
        tta: Average over several views of each image; see :func:`use_tta`.
        adjust: Adjust the classifiers first: a key of
            :data:`~ecl.models.adjustment.ADJUSTMENTS`; ``'logit-adjustment'`` is the default with
            ``tau``. The model is tested before it as well.
        tau: Strength of the adjustment, or ``'auto'`` (default with ``adjust``): chosen on
            validation data or training images; see
            :func:`~ecl.engine.methods.adjustment.adjust_model`.
        adapt: Find weights of the experts on the test images, without their labels; see
            :func:`~ecl.engine.methods.adaptation.adapt_model`. The model is tested before it as
            well.
        cfg_options: Values by dotted key that replace those of the configuration.
        launcher: ``'none'``, or ``'pytorch'`` in a process that torchrun started.
        verbose: Print the log on the console too.
        show_dir: Folder for the test images with their predicted classes.

    Returns:
        The metrics in percent: those of the configuration, the expected calibration error
        ``calibration/ECE``, and ``distribution/<name>``; of expert 0 alone
        ``calibration/expert0/ECE`` and ``distribution/expert0/<name>``, and so on. With ``adjust``
        or ``adapt`` they are those of the changed model; those before it are under
        ``unadjusted/<key>``.

    Raises:
        UserError: If the configuration or the data cannot be used as they are, the checkpoint
            belongs to another model, the model cannot be adjusted, or ``out`` has another suffix.
    """
    for path in (out, per_class):
        if path is not None:
            check_folder(path)
    if out is not None and Path(out).suffix not in ('.json', *_PICKLES):
        raise UserError(f'--out {out}: got the suffix {Path(out).suffix!r}, expected .json or .pkl')
    if tau is not None:
        adjust = adjust or 'logit-adjustment'
    cfg = load_config(config, work_dir=work_dir, cfg_options=cfg_options)
    if adjust is not None:  # one of custom_imports is known now
        tau = 'auto' if tau is None else tau
        check_adjustment(adjust, tau)
    source = config_name(config)
    check_work_dir(cfg, source)
    if cfg.get('test_dataloader') is None or cfg.get('test_cfg') is None:
        raise UserError(f'{source} has no test_dataloader or no test_cfg: it cannot be tested')
    checkpoint = find_checkpoint(checkpoint)
    cfg.load_from, cfg.resume = checkpoint, False
    cfg.work_dir = str(Path(cfg.work_dir) / 'test')
    content = load_checkpoint(checkpoint)
    counts = content.get('meta', {}).get('class_counts')
    if imbalance_factors and counts is None:
        raise UserError(f'{checkpoint}: got no class_counts. Train with ClassCountsHook.')
    if not any(key.startswith(CONTRAST) for key in content['state_dict']):
        cfg.model.pop('contrast', None)  # a published checkpoint does not hold it
    if show_dir is not None:
        drawing = dict(type='DrawPredictionsHook', out_dir=str(show_dir))
        cfg.custom_hooks = [*cfg.get('custom_hooks', ()), drawing]
    lists = {Path(path).stem: _read_list(cfg, path) for path in test_lists}
    if tta:
        use_tta(cfg, source)
    set_launcher(cfg, launcher)
    record = PredictionRecord()
    with explain_faults(cfg, source), closing(ResumableRunner.from_cfg(cfg)) as runner:
        if not verbose:
            runner.register_hook(ConsoleHook())
        runner.preload(checkpoint, content)
        runner.add_test_metric(record)
        if _holds_predictions(out):
            runner.add_test_metric(_PredictionFile(str(out)))

        def summary(metrics: dict[str, float]) -> tuple[dict[str, float], str]:
            return _summary(metrics, record.predictions, lists, counts, imbalance_factors)

        metrics, text = summary(runner.test())
        told: dict[str, Any] = {}
        lines = []
        if adjust is not None and tau is not None:
            told['adjustment'] = adjust_model(bare_model(runner.model), cfg, adjust, tau, counts)
            lines.append(describe(told['adjustment']))
        if adapt:
            told['adaptation'] = adaptation.adapt_model(bare_model(runner.model), cfg)
            lines.append(adaptation.describe(told['adaptation']))
        if told:
            unadjusted, before = metrics, f'unadjusted\n\n{text}\n\n'
            metrics, text = summary(runner.test_loop.run())
            metrics |= {f'unadjusted/{key}': value for key, value in unadjusted.items()}
            text = '\n'.join([before.rstrip('\n'), '', *lines, '', text])
    predictions = record.predictions
    if predictions is not None:  # in the main process
        print(text)
        if per_class is not None:
            names = (runner.test_evaluator.dataset_meta or {}).get('classes')
            write_text(
                per_class, class_table(predictions, counts, names, configured_thresholds(cfg))
            )
        if out is not None and not _holds_predictions(out):
            result: dict[str, Any] = dict(config=source, checkpoint=str(checkpoint))
            write_text(out, json.dumps({**result, **told, 'metrics': metrics}, indent=2) + '\n')
    return metrics


def _summary(
    metrics: dict[str, float],
    predictions: Predictions | None,
    lists: Mapping[str, tuple[list[str], list[int]]],
    counts: Sequence[int] | None,
    imbalance_factors: Sequence[float],
) -> tuple[dict[str, float], str]:
    """Return the metrics with those of other distributions, and the tables of all."""
    if predictions is None:  # not in the main process
        return metrics, ''
    accuracies = accuracy_on_lists(predictions, lists)
    if imbalance_factors:
        accuracies |= accuracy_by_distribution(predictions, counts or (), imbalance_factors)
    more = _by_predictor('calibration', {ECE: calibration_errors(predictions)})
    more |= _by_predictor('distribution', accuracies)
    tables = [metric_table(metrics | more)]
    lines = interval_line(metrics, len(predictions.labels)), further_line(metrics)
    tables += filter(None, lines)
    tables += [distribution_table(predictions.names, accuracies)] if accuracies else []
    return metrics | more, '\n\n'.join(tables)


class _PredictionFile(DumpResults):
    """Write the prediction of each image. Views are copied, so that no whole batch is written."""

    def process(self, data_batch: Any, predictions: Sequence[dict]) -> None:
        """Keep a copy of the tensors of a batch."""
        copies = [
            {key: x.clone() if isinstance(x, Tensor) else x for key, x in prediction.items()}
            for prediction in predictions
        ]
        super().process(data_batch, copies)


def _holds_predictions(out: str | Path | None) -> bool:
    return out is not None and Path(out).suffix in _PICKLES


def _read_list(cfg: Config, path: str | Path) -> tuple[list[str], list[int]]:
    """Return files and labels of a list, named as in the test data."""
    dataset = cfg.test_dataloader.dataset
    if 'ann_file' not in dataset:
        raise UserError(f'{path}: the test data of the configuration is not given as a list')
    with DefaultScope.overwrite_default_scope('ecl'):
        # Relative to the current folder, not to that of the data.
        part = DATASETS.build({**dataset, 'ann_file': str(Path(path).resolve())})
    paths = [part.get_data_info(index)['img_path'] for index in range(len(part))]
    return paths, gt_labels(part).tolist()


def _by_predictor(kind: str, values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return values (P,) by name as metrics; the values after the first belong to the experts."""
    return {
        f'{kind}/{f"expert{index - 1}/" if index else ""}{name}': float(value)
        for name, column in values.items()
        for index, value in enumerate(column)
    }


def use_tta(cfg: Config, source: str) -> None:
    """Predict test images by the mean over several views; ``cfg`` is changed in place.

    The views are those of ``tta_pipeline``; without one, the image and its mirror image, provided
    that training mirrors images too. The model is wrapped by ``tta_model``, by default
    :class:`~ecl.models.AverageScoresTTA`.

    Args:
        cfg: A configuration with a test set.
        source: Its file name, for error messages.

    Raises:
        UserError: If there is no ``tta_pipeline``, and training does not mirror images.
    """
    # InMemoryDataset holds one view of each image.
    dataset = cfg.test_dataloader.dataset = without_memory(cfg.test_dataloader.dataset)
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.pipeline = cfg.get('tta_pipeline') or _mirrored(cfg, dataset.get('pipeline'), source)
    wrapper = cfg.get('tta_model') or dict(type='AverageScoresTTA')
    cfg.model = dict(**wrapper, module=cfg.model)


def _mirrored(cfg: Config, pipeline: list[dict] | None, source: str) -> list[dict]:
    parts = [cfg.get('train_dataloader') or {}, preprocessor_config(cfg)]
    flips = [s for _, s in walk(parts) if type_name(s) in ('RandomFlip', 'BatchRandomFlip')]
    if not pipeline or not any(
        'horizontal' in step.get('direction', 'horizontal') for step in flips
    ):
        raise UserError(
            f'{source}: training does not mirror images, so mirror images cannot be used as views. '
            'Set tta_pipeline to other views.'
        )
    views = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)]
    return [*pipeline[:-1], dict(type='TestTimeAug', transforms=[views, [pipeline[-1]]])]
