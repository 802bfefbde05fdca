"""Train configurations with several seeds and write their results as one table."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from joblib import cpu_count
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ecl.apis.checkpoint import latest_checkpoint
from ecl.apis.config import load_config
from ecl.apis.test import test
from ecl.apis.train import train
from ecl.apps.cli import run_tool
from ecl.apps.experiments.cost import cost_figure, model_cost
from ecl.apps.experiments.plan import COST, Run, plan, read_matrix
from ecl.apps.experiments.table import write_table
from ecl.engine.hooks.run_record import RECORD
from ecl.engine.resume.atomic_file import write_text
from ecl.errors import UserError

JOB = (sys.executable, '-m', 'ecl.apps.experiments.matrix')
#: Seconds between two checks of the trainings.
INTERVAL = 1.0
LOG = 'matrix.log'
GROUPS = ('overall', 'many', 'medium', 'few')


def run_matrix(
    path: str | Path,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    jobs: int = 1,
    cfg_options: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Train every configuration of a matrix with every seed, and write one table.

    All configurations are trained with the first seed, then all with the second, so that the table
    of an interrupted matrix is a fair comparison. The table is updated after each training. A
    second call skips the trainings that are complete, in the work dir or in a table at ``out`` from
    another machine, and resumes the others. A training that fails is reported; the others go on.

    The matrix is a YAML or JSON file:

    .. code-block:: yaml

        title: What the weights bring        # heading of the table
        seeds: [0, 1, 2]
        cfg_options: {train_cfg.max_epochs: 20}   # of all rows; those of a row win
        rows:
          - config: both_unweighted.py       # beside the matrix file
          - config: both_ratio.py
            name: ratio, gamma 2             # default: name of the file, without .py
            cfg_options: {model.head.expert_losses.distill.weighting.gamma: 2.0}
            variants:                        # of the prediction, with the same weights
              label classifiers alone: {model.head.predict_with: label}

    Args:
        path: The matrix.
        work_dir: Folder of the trainings. By default ``work_dirs/<name of the matrix file>``.
        out: Where the table goes, without extension: ``OUT.md``, ``OUT.json`` and ``OUT.png``, the
            accuracy against the cost of training. By default
            ``table`` in the work dir.
        jobs: Trainings at the same time; they share the processor's cores equally, unless
            OMP_NUM_THREADS is set.
        cfg_options: Values by dotted key for all rows, over those at the top of the matrix.
        config: Configuration of the rows that name none, so that one matrix serves any data; see
            :func:`~ecl.apps.experiments.plan.read_matrix`.

    Returns:
        The rows of the table, as in the JSON file: see
        :func:`ecl.apps.experiments.table.write_table`.

    Raises:
        UserError: If the matrix cannot be read, before any training; or, at the end, if a training
            failed.
    """
    if jobs < 1:
        raise UserError(f'--jobs must be at least 1, not {jobs}')
    title, seeds, rows = read_matrix(Path(path), cfg_options, config)
    folder = Path(work_dir or Path('work_dirs') / Path(path).stem)
    target = Path(out or folder / 'table')
    runs = plan(rows, seeds, folder, Path(f'{target}.json'))
    target.parent.mkdir(parents=True, exist_ok=True)

    def table() -> list[dict[str, Any]]:
        columns = [[run for run in runs if run.row is row and run.is_complete] for row in rows]
        found = [
            (row.name, list(row.variants), [run.record() for run in done])
            for row, done in zip(rows, columns, strict=True)
        ]
        return write_table(title, found, target)

    failed = _run_all(runs, jobs, table)
    result = table()
    cost_figure(result).savefig(f'{target}.png', dpi=150)
    print(Path(f'{target}.md').read_text())
    if failed:
        logs = ', '.join(f'{run} ({run.work_dir / LOG})' for run in failed)
        raise UserError(f'{len(failed)} of {len(runs)} trainings failed: {logs}')
    return result


def _run_all(runs: Sequence[Run], jobs: int, renew_table: Callable[[], Any]) -> list[Run]:
    """Run ``jobs`` processes at a time until every run has ended; return those that failed."""
    waiting = [run for run in runs if not run.is_complete]
    running: dict[Run, subprocess.Popen] = {}
    failed: list[Run] = []
    threads = os.environ.get('OMP_NUM_THREADS', str(max(1, cpu_count() // jobs)))
    before, start = sum(run.finished_epochs() for run in runs), time.monotonic()
    total = sum(run.epochs for run in runs)
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        TextColumn('{task.completed} of {task.total} epochs'),
        TimeElapsedColumn(),
        TextColumn('{task.fields[left]}'),
    )
    with Progress(*columns) as progress:
        say = partial(progress.console.print, markup=False, highlight=False, soft_wrap=True)
        say(f'{len(runs)} trainings, {len(runs) - len(waiting)} complete')
        bar = progress.add_task('', total=total, completed=before, left='')
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    run = waiting.pop(0)
                    running[run] = _start(run, threads)
                time.sleep(INTERVAL)
                over = [run for run, process in running.items() if process.poll() is not None]
                epochs = sum(run.finished_epochs() for run in runs)
                left = _time_left(time.monotonic() - start, epochs - before, total - epochs)
                names = ' | '.join(str(run) for run in running)
                progress.update(bar, description=names, completed=epochs, left=left)
                for run in over:
                    running.pop(run)
                    if not run.is_complete:
                        failed.append(run)
                    say(f'{_outcome(run)}; {left}' if left else _outcome(run))
                    renew_table()
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()
    return failed


def _start(run: Run, threads: str) -> subprocess.Popen:
    with (run.work_dir / LOG).open('a') as log:
        return subprocess.Popen(
            [*JOB, run.specification],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'OMP_NUM_THREADS': threads},
        )


def _time_left(seconds: float, epochs_done: int, epochs_left: int) -> str:
    if epochs_done <= 0:
        return ''
    left = timedelta(seconds=round(seconds / epochs_done * epochs_left))
    return f'about {left} left'


def _outcome(run: Run) -> str:
    if run.is_complete:
        metrics = run.record()['metrics']
        shown = [
            f'{key} {metrics[f"shot/{key}"]:.2f}' for key in GROUPS if f'shot/{key}' in metrics
        ]
        return f'{run}: {", ".join(shown)}'
    log = run.work_dir / LOG
    lines = [line for line in log.read_text(errors='replace').splitlines() if line.strip()]
    return '\n    '.join([f'{run} FAILED, the end of {log}:', *lines[-3:]])


def run_job(
    config: str,
    seed: int,
    work_dir: str,
    cfg_options: dict[str, Any],
    variants: dict[str, dict[str, Any]],
) -> None:
    """Train or resume, then evaluate the variants; existing results are kept.

    Args:
        config: A configuration file.
        seed: Random seed.
        work_dir: Folder of the results.
        cfg_options: Values by dotted key that replace those of the file.
        variants: File name in the work dir -> further such values, for an evaluation of the
            trained weights whose metrics go to that file.

    Raises:
        UserError: If another process trains in the folder, or from training and testing.
    """
    folder = Path(work_dir)
    if not (folder / RECORD).is_file():
        train(config, work_dir=work_dir, resume='auto', seed=seed, cfg_options=cfg_options)
    for name, options in variants.items():
        if not (folder / name).is_file():
            test(
                config,
                latest_checkpoint(work_dir) or folder / 'last_checkpoint',
                work_dir=work_dir,
                out=folder / name,
                cfg_options={**cfg_options, **options},
            )
    cost = model_cost(load_config(config, seed=seed, cfg_options=cfg_options))
    write_text(folder / COST, json.dumps(cost))


if __name__ == '__main__':
    run_tool(lambda: run_job(**json.loads(sys.argv[1])))
