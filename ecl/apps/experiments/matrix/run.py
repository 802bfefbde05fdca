"""Train configurations with several seeds, and lay the results side by side."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from joblib import cpu_count
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ecl.apps.experiments.matrix.plan import Run, plan, read_matrix
from ecl.apps.experiments.matrix.table import write_table
from ecl.errors import UserError

JOB = (sys.executable, '-m', 'ecl.apps.experiments.matrix.job')
#: Seconds between two looks at the trainings.
INTERVAL = 1.0
LOG = 'matrix.log'
GROUPS = ('overall', 'many', 'medium', 'few')


def run_matrix(
    path: str | Path,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """Train every configuration of a matrix with every seed, and write one table.

    All configurations are trained with the first seed, then all with the second, so that the table
    of an interrupted matrix is a fair one; it is renewed after each training. A second call skips
    the trainings that are complete, in the work dir or in a table at ``out`` from another machine,
    and goes on with those that are not. A training that fails is reported, and the others go on.

    The matrix is a YAML or JSON file:

    .. code-block:: yaml

        title: What the weights bring        # heading of the table
        seeds: [0, 1, 2]
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
        out: Where the table goes, without extension: ``OUT.md`` and ``OUT.json``. By default
            ``table`` in the work dir.
        jobs: Trainings at the same time; they share the processor's cores equally.

    Returns:
        The rows of the table, as in the JSON file: see
        :func:`ecl.apps.experiments.matrix.table.write_table`.

    Raises:
        UserError: If the matrix cannot be read, before any training; or, at the end, if a training
            failed.
    """
    if jobs < 1:
        raise UserError(f'--jobs must be at least 1, not {jobs}')
    title, seeds, rows = read_matrix(Path(path))
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
    print(Path(f'{target}.md').read_text())
    if failed:
        logs = ', '.join(f'{run} ({run.work_dir / LOG})' for run in failed)
        raise UserError(f'{len(failed)} of {len(runs)} trainings failed: {logs}')
    return result


def _run_all(runs: Sequence[Run], jobs: int, renew_table: Callable[[], Any]) -> list[Run]:
    """Keep ``jobs`` processes busy until every run is over; return those that failed."""
    waiting = [run for run in runs if not run.is_complete]
    running: dict[Run, subprocess.Popen] = {}
    failed: list[Run] = []
    threads = str(max(1, cpu_count() // jobs))
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
