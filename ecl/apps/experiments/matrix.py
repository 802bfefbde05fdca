"""Train configurations with several seeds and write their results as one table."""

import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ecl.apps.experiments.cost import cost_figure
from ecl.apps.experiments.plan import Run, plan, read_matrix
from ecl.apps.experiments.table import write_table
from ecl.apps.experiments.workers import LOG, Processes, Turns
from ecl.engine.resume.processes import EXIT_STOPPED
from ecl.errors import UserError

#: Seconds between two checks of the trainings.
INTERVAL = 1.0
#: Share of the time limit for epochs; the rest is for validations and tests.
MARGIN = 0.9
GROUPS = ('overall', 'many', 'medium', 'few')


def run_matrix(
    path: str | Path,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    jobs: int = 1,
    cfg_options: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    together: bool = False,
    minutes: float | None = None,
) -> list[dict[str, Any]]:
    """Train every configuration of a matrix with every seed, and write one table.

    All configurations are trained with the first seed, then all with the second, so that the table
    of an interrupted matrix is a fair comparison. The table is updated after each training. A
    second call skips the trainings that are complete, in the work dir or in a table at ``out`` from
    another machine, and resumes the others. A training that fails is reported; the others continue.
    A variant that fails leaves its cells empty.

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
        path: The matrix. Those of the package, such as ``configs/comparison/digits-lt.yaml``, work
            in any folder.
        work_dir: Folder of the trainings. By default ``work_dirs/<name of the matrix file>``.
        out: Where the table goes, without extension: ``OUT.md``, ``OUT.json`` and ``OUT.png``, the
            accuracy against the cost of training. By default
            ``table`` in the work dir.
        jobs: Number of parallel trainings. As processes they share the processor's cores equally,
            unless OMP_NUM_THREADS is set.
        cfg_options: Values by dotted key for all rows, over those at the top of the matrix.
        config: Configuration of the rows that name none, so that one matrix can be used for any
            data; see :func:`~ecl.apps.experiments.plan.read_matrix`.
        together: The parallel trainings share one process and its GPU and alternate step by step;
            see :class:`~ecl.apps.experiments.workers.Turns`.
        minutes: Time limit of this call. After the first epochs, the last trainings are left out if
            not all fit. At the end, running trainings are saved; a later call continues with them.

    Returns:
        The rows of the table, as in the JSON file: see
        :func:`ecl.apps.experiments.table.write_table`.

    Raises:
        UserError: If the matrix cannot be read or ``jobs`` or ``minutes`` is not positive, before
            any training; or, at the end, if a training failed.
    """
    if jobs < 1:
        raise UserError(f'--jobs must be at least 1, not {jobs}')
    if minutes is not None and minutes <= 0:
        raise UserError(f'--minutes must be above 0, not {minutes:g}')
    title, seeds, rows = read_matrix(Path(path), cfg_options, config)
    folder = Path(work_dir or Path('work_dirs') / Path(path).stem)
    target = Path(out or folder / 'table')
    runs = plan(rows, seeds, folder, Path(f'{target}.json'))
    target.parent.mkdir(parents=True, exist_ok=True)

    def table() -> list[dict[str, Any]]:
        columns = [[run for run in runs if run.row is row and run.is_trained] for row in rows]
        found = [
            (row.name, list(row.variants), [run.record() for run in done])
            for row, done in zip(rows, columns, strict=True)
        ]
        return write_table(title, found, target)

    workers: Processes | Turns = Turns() if together else Processes(jobs)
    failed, left_over = _run_all(runs, workers, jobs, minutes, table)
    result = table()
    cost_figure(result).savefig(f'{target}.png', dpi=150)
    print(Path(f'{target}.md').read_text('utf-8'))
    if failed:
        logs = ', '.join(f'{run} ({run.work_dir / LOG})' for run in failed)
        raise UserError(f'{len(failed)} of {len(runs)} trainings failed: {logs}')
    if left_over:
        print(
            f'{len(left_over)} of {len(runs)} trainings are left: run the command again to '
            'continue.'
        )
    return result


def _run_all(
    runs: Sequence[Run],
    workers: Processes | Turns,
    jobs: int,
    minutes: float | None,
    renew_table: Callable[[], Any],
) -> tuple[list[Run], list[Run]]:
    """Carry out the runs, ``jobs`` in parallel; return failed and remaining runs."""
    waiting = [run for run in runs if not run.is_complete]
    failed: list[Run] = []
    left_over: list[Run] = []
    budget = None if minutes is None else _Budget(60 * minutes)
    before, start = sum(run.finished_epochs() for run in runs), time.monotonic()
    total = sum(run.epochs for run in runs)
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        TextColumn('{task.completed} of {task.total} epochs'),
        TimeElapsedColumn(),
        TextColumn('{task.fields[left]}'),
    )
    # Alternating trainings redirect the output of the process.
    console = Console(file=sys.stdout)
    with Progress(
        *columns, console=console, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
        say(f'{len(runs)} trainings, {len(runs) - len(waiting)} complete')
        bar = progress.add_task('', total=total, completed=before, left='')
        try:
            while waiting or workers.running:
                while waiting and len(workers.running) < jobs:
                    workers.start(waiting.pop(0))
                time.sleep(INTERVAL)
                epochs = sum(run.finished_epochs() for run in runs)
                left = _time_left(time.monotonic() - start, epochs - before, total - epochs)
                names = ' | '.join(str(run) for run in workers.running)
                progress.update(bar, description=names, completed=epochs, left=left)
                over = workers.ended()
                for run, status in over.items():
                    if not run.is_complete:
                        if run in left_over:
                            continue  # stopped, and said so
                        (left_over if status == EXIT_STOPPED else failed).append(run)
                    outcome = _outcome(run, status)
                    say(f'{outcome}; {left}' if left else outcome)
                    renew_table()
                for run in budget.exceeded_by(workers.running, waiting) if budget else ():
                    say(
                        f'{run} does not fit into {minutes:g} minutes: left for the next run of '
                        'the command'
                    )
                    left_over.append(run)
                    if run in waiting:
                        waiting.remove(run)
                    else:
                        workers.stop(run)
        finally:
            workers.close()
    return failed, left_over


class _Budget:
    """Estimate which trainings fit into a time limit, from the speed of their first epochs."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._at_start: dict[Run, int] = {}
        self._first: tuple[float, dict[Run, int]] | None = None
        self._chosen = False
        self._stopped: set[Run] = set()

    def exceeded_by(self, running: list[Run], waiting: list[Run]) -> list[Run]:
        """Return further trainings to leave out: the last ones, as soon as the speed is known."""
        now = time.monotonic()
        done = {run: run.finished_epochs() for run in running}
        new = [done[run] - self._at_start.setdefault(run, done[run]) for run in running]
        unfinished = [run for run in (*running, *waiting) if run not in self._stopped]
        keep = len(unfinished)
        if now >= self._end:
            keep = 0
        elif running and not self._chosen and min(new) >= 1:
            if self._first is None:
                # The first epoch is slower: it builds and measures what later epochs reuse.
                self._first = (now, done)
            elif min(new) >= 3 and now - self._first[0] >= 10 * INTERVAL:
                self._chosen = True
                begin, at_begin = self._first
                # A run that has ended counts completely; a run that has begun counts from its first
                # epoch.
                epochs = {run: run.finished_epochs() for run in at_begin} | done
                since = self._at_start | at_begin
                pace = sum(epochs[run] - since[run] for run in epochs) / (now - begin)
                affordable = MARGIN * pace * (self._end - now)
                need = accumulate(run.epochs - run.finished_epochs() for run in unfinished)
                keep = sum(epochs <= affordable for epochs in need)
        self._stopped.update(unfinished[keep:])
        return unfinished[keep:]


def _time_left(seconds: float, epochs_done: int, epochs_left: int) -> str:
    if epochs_done <= 0:
        return ''
    left = timedelta(seconds=round(seconds / epochs_done * epochs_left))
    return f'about {left} left'


def _outcome(run: Run, status: int) -> str:
    if run.is_complete:
        metrics = run.record()['metrics']
        shown = [
            f'{key} {metrics[f"shot/{key}"]:.2f}' for key in GROUPS if f'shot/{key}' in metrics
        ]
        return f'{run}: {", ".join(shown)}'
    if status == EXIT_STOPPED:
        return f'{run}: stopped; run the command again to continue'
    cause = ''
    if status < 0:
        name = signal.Signals(-status).name
        cause = f', ended by {name}'
        if name == 'SIGKILL':  # a name that Windows lacks
            cause += ', most often because memory ran out'
    log = run.work_dir / LOG
    lines = [line for line in log.read_text('utf-8', errors='replace').splitlines() if line.strip()]
    return '\n    '.join([f'{run} FAILED{cause}; the end of {log}:', *lines[-3:]])
