"""Run the trainings of a matrix: in processes, or alternating steps in one process."""

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from joblib import cpu_count
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from ecl.apis.checkpoint import final_checkpoint
from ecl.apis.config import load_config
from ecl.apis.test import test
from ecl.apis.train import train
from ecl.apps.cli import run_tool
from ecl.apps.experiments.cost import model_cost
from ecl.apps.experiments.plan import COST, Run
from ecl.engine.hooks.run_record import RECORD
from ecl.engine.resume.atomic_file import write_text
from ecl.engine.resume.processes import end_with

#: Command of a training in a process of its own. Its arguments: what to train, process id of the
#: matrix.
JOB = (sys.executable, '-m', 'ecl.apps.experiments.workers')
#: Output of a training, in its folder.
LOG = 'matrix.log'


class Processes:
    """A process for each training.

    Args:
        jobs: Number of parallel trainings. They share the processor's cores equally, unless
            OMP_NUM_THREADS is set.
    """

    def __init__(self, jobs: int) -> None:
        self._processes: dict[Run, subprocess.Popen] = {}
        self._threads = os.environ.get('OMP_NUM_THREADS', str(max(1, cpu_count() // jobs)))

    @property
    def running(self) -> list[Run]:
        """The trainings that have not ended."""
        return list(self._processes)

    def start(self, run: Run) -> None:
        """Start a training; its output goes to ``LOG`` in its folder."""
        with (run.work_dir / LOG).open('a') as log:
            self._processes[run] = subprocess.Popen(
                [*JOB, run.specification, str(os.getpid())],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    'OMP_NUM_THREADS': self._threads,
                    'PYTHONIOENCODING': 'utf-8',
                },
            )

    def ended(self) -> dict[Run, int]:
        """Return the trainings that have ended since the last call, with their exit status.

        If a signal ended a process, the status is minus the number of the signal.
        """
        status = {run: process.poll() for run, process in self._processes.items()}
        over = {run: code for run, code in status.items() if code is not None}
        for run in over:
            del self._processes[run]
        return over

    def stop(self, run: Run) -> None:
        """Save a training and end it, within a step."""
        self._processes[run].terminate()

    def close(self) -> None:
        """Save and end all trainings, and wait for them."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait()


@dataclass(eq=False)
class _Seat:
    """One of several trainings that alternate."""

    run: Run
    log: TextIO
    random_state: torch.Generator | None
    signal: int = 0
    status: int = 1  # None until it has ended
    over: bool = False


def gpu_generator() -> torch.Generator | None:
    """Return the random number generator of the GPU in use; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    torch.cuda.init()
    return torch.cuda.default_generators[torch.cuda.current_device()]


class Turns:
    """Alternate trainings: one thread each; one thread runs at a time, for a step, in fixed order.

    On a GPU a training passes its turn on while the GPU works on its step, so the steps of several
    small networks overlap, each on its own stream. Random numbers are seeded before each step, so
    each training gives the same result as alone. Trainings with equal seeds and views see the same
    pixels in the same order.
    """

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._seats: list[_Seat] = []
        self._holder: _Seat | None = None
        self._console = sys.stdout, sys.stderr
        # A running step reads its seed from the state, so each training has its own state.
        self._random = gpu_generator()

    @property
    def running(self) -> list[Run]:
        """The trainings that have not ended."""
        return [seat.run for seat in self._seats]

    def start(self, run: Run) -> None:
        """Start a training; its output goes to ``LOG`` in its folder."""
        log = (run.work_dir / LOG).open('a', buffering=1, encoding='utf-8')
        seat = _Seat(run, log, self._random.clone_state() if self._random else None)
        with self._change:
            self._seats.append(seat)
            self._holder = self._holder or seat
        # A daemon, so that a second Ctrl-C ends the process.
        threading.Thread(target=self._train, args=(seat,), daemon=True).start()

    def ended(self) -> dict[Run, int]:
        """Return the trainings that have ended since the last call, with their exit status."""
        with self._change:
            over = {seat.run: seat.status for seat in self._seats if seat.over}
            self._seats = [seat for seat in self._seats if not seat.over]
        return over

    def stop(self, run: Run) -> None:
        """Save a training and end it, within a step."""
        for seat in self._seats:
            if seat.run is run:
                seat.signal = signal.SIGTERM

    def close(self) -> None:
        """Save and end all trainings, and wait for them."""
        for run in self.running:
            self.stop(run)
        with self._change:
            self._change.wait_for(lambda: all(seat.over for seat in self._seats))

    def pass_on(self, seat: _Seat) -> None:
        """Let the other trainings take their steps, then continue."""
        with self._change:
            following = self._following(seat)
            if following is None:
                return
            self._holder = following
            self._change.notify_all()
        self._await(seat)

    def _following(self, seat: _Seat) -> _Seat | None:
        place = self._seats.index(seat)
        others = self._seats[place + 1 :] + self._seats[:place]
        return next((other for other in others if not other.over), None)

    def _await(self, seat: _Seat) -> None:
        with self._change:
            self._change.wait_for(lambda: self._holder is seat)
        sys.stdout = sys.stderr = seat.log
        if self._random and seat.random_state:
            self._random.graphsafe_set_state(seat.random_state)

    def _train(self, seat: _Seat) -> None:
        self._await(seat)
        try:
            told = json.loads(seat.run.specification)
            run_tool(lambda: run_job(**told, hooks=[TurnHook(self, seat)]))
            seat.status = 0
        except SystemExit as left:  # after a line that names an error, and after a signal
            seat.status = left.code if isinstance(left.code, int) else 1
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout, sys.stderr = self._console
            seat.log.close()
            with self._change:
                self._holder = self._following(seat)
                seat.over = True
                self._change.notify_all()


class TurnHook(Hook):
    """Pass the turn on after each step, before anything waits for the GPU.

    Args:
        turns: The trainings that take turns.
        seat: This one.
    """

    priority = 'HIGHEST'

    def __init__(self, turns: Turns, seat: _Seat) -> None:
        self._turns = turns
        self._seat = seat

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Wait for the next turn; pass on a signal to stop."""
        self._turns.pass_on(self._seat)
        for shared in (MMLogger, MessageHub, DefaultScope):
            # The last one is the current one.
            shared._instance_dict.move_to_end(runner.experiment_name)
        stop: Any = getattr(runner.train_loop, 'stop', None)  # IterBasedTrainLoop has none
        if stop is not None:
            stop.received = stop.received or self._seat.signal


def run_job(
    config: str,
    seed: int,
    work_dir: str,
    cfg_options: dict[str, Any],
    variants: dict[str, dict[str, Any]],
    hooks: Sequence[Hook] = (),
) -> None:
    """Train or resume, then evaluate the variants; existing results are kept.

    Args:
        config: A configuration file.
        seed: Random seed.
        work_dir: Folder of the results.
        cfg_options: Values by dotted key that replace those of the file.
        variants: File name in the work dir -> further such values, for an evaluation of the
            trained weights whose metrics go to that file.
        hooks: Further hooks of the training.

    Raises:
        UserError: If another process trains in the folder, or from training and testing.
    """
    folder = Path(work_dir)
    options: dict[str, Any] = dict(work_dir=work_dir, cfg_options=cfg_options)
    if not (folder / RECORD).is_file():
        train(config, resume='auto', seed=seed, hooks=hooks, **options)
    cost = model_cost(load_config(config, seed=seed, cfg_options=cfg_options))
    write_text(folder / COST, json.dumps(cost))
    for name, changes in variants.items():
        if not (folder / name).is_file():
            test(
                config,
                final_checkpoint(work_dir) or folder / 'last_checkpoint',
                work_dir=work_dir,
                out=folder / name,
                cfg_options={**cfg_options, **changes},
            )


if __name__ == '__main__':
    # End with the parent: if the matrix is killed, the training is not needed any more.
    end_with(int(sys.argv[2]), signal.SIGTERM)
    run_tool(lambda: run_job(**json.loads(sys.argv[1])))
