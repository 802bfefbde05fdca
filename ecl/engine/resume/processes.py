"""Signals of the processes of a training, and the end of data workers."""

import ctypes
import multiprocessing
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from types import FrameType, TracebackType
from typing import Any, TypeVar

import numpy as np
import torch
from mmengine.dataset import worker_init_fn as engine_worker_init_fn
from mmengine.dist import broadcast_object_list
from mmengine.registry import FUNCTIONS
from torch import distributed
from torch.utils.data import DataLoader

Value = TypeVar('Value')

#: Exit status of a training that was stopped and can be resumed: EX_TEMPFAIL of sysexits.h.
EXIT_STOPPED = 75
#: Signals that stop a training, besides Ctrl-C. Windows has only the first.
SIGNALS: tuple[int, ...] = tuple(
    getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1', 'SIGHUP') if hasattr(signal, name)
)
#: Seconds that a rank waits for the others. Longer than it waits for its own data workers, so
#: that the rank whose data workers hang reports it.
TIMEOUT = 600


def of_main_process(value: Value) -> Value:
    """Return the value that the main process has. All ranks must call it."""
    shared = [value]
    broadcast_object_list(shared)
    return shared[0]


def handle_signals(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Set a handler for ``SIGNALS``. If ``nohup`` ignores SIGHUP, it stays ignored.

    Args:
        handler: As for :func:`signal.signal`.

    Returns:
        The replaced handlers, by signal.
    """
    hangup = getattr(signal, 'SIGHUP', None)
    return {
        number: signal.signal(number, handler)
        for number in SIGNALS
        if number != hangup or signal.getsignal(number) is not signal.SIG_IGN
    }


def stopped(number: int) -> int:
    """Return the exit status of a training that a signal ended and that the same call resumes."""
    return EXIT_STOPPED


def unsaved(number: int) -> int:
    """Print that a signal ended a training unsaved, and return the exit status of shells."""
    print(
        f'error: {signal.Signals(number).name}: the training ended without saving: only a training '
        'with train_cfg.by_epoch=True is saved after a signal. The newest checkpoint remains.',
        file=sys.stderr,
        flush=True,
    )
    return 128 + number


@contextmanager
def exit_on_signal(status: Callable[[int], int] = stopped) -> Iterator[None]:
    """Exit on one of ``SIGNALS`` outside of :class:`StopSignals`, where nothing can be saved.

    Ctrl-C keeps its usual effect. An error after the signal, such as a lost connection to another
    rank, is treated as its effect.

    Args:
        status: Called once, with the first signal; returns the exit status. By default
            ``EXIT_STOPPED``, which tells a scheduler to start the job again.
    """
    code: int | None = None

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal code
        if code is None:
            code = status(number)
        raise SystemExit(code)

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        handlers = handle_signals(leave)
    try:
        yield
    except Exception:
        if code is not None:
            raise SystemExit(code) from None
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class StopSignals:
    """Record ``SIGNALS`` and SIGINT (Ctrl-C) instead of ending immediately.

    Inside the ``with`` block a training can finish its step and save its state. With one process, a
    second Ctrl-C ends it immediately. With several processes, the launcher forwards each signal, so
    they receive it twice.

    All ranks enter the block together.
    """

    def __init__(self) -> None:
        self.received = 0
        self._group: Any = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> 'StopSignals':
        if distributed.is_initialized():
            # On the CPU, so that no step waits for a GPU.
            timeout = timedelta(seconds=TIMEOUT)
            self._group = distributed.new_group(backend='gloo', timeout=timeout)
        if threading.current_thread() is threading.main_thread():
            self._handlers = handle_signals(self._note)
            self._handlers[signal.SIGINT] = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def agreed(self) -> bool:
        """Return whether any rank received a signal. All ranks must call it."""
        if self._group is not None:
            highest = torch.tensor(self.received)
            distributed.all_reduce(highest, distributed.ReduceOp.MAX, group=self._group)
            self.received = int(highest)
        return self.received > 0

    def leave(self) -> None:
        """End the process if a signal was received.

        Raises:
            KeyboardInterrupt: After Ctrl-C.
            SystemExit: With status ``EXIT_STOPPED`` after another signal.
        """
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received:
            raise SystemExit(EXIT_STOPPED)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == self.received == signal.SIGINT and self._group is None:
            raise KeyboardInterrupt
        self.received = number


#: Option of Linux's prctl: the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1


# Registered at the root: MMEngine looks such functions up there and in no child registry.
@FUNCTIONS.register_module()
def epoch_worker_init_fn(worker_id: int, then: Callable[[int], Any] | None = None) -> None:
    """Prepare a data worker.

    - Seed it from the process that started it. MMEngine's own function gives the workers the same
      seed in every epoch. Batches of :class:`~ecl.engine.resume.rank_state.SeededBatches` have
      their own seed.
    - End it when its parent ends, also by SIGKILL (on Linux). PyTorch's own check does not run
      while the worker waits for a full pipe.
    - Ignore SIGINT, SIGUSR1, SIGHUP, and (on Linux) any SIGTERM that another process than the
      parent sent. A scheduler sends its signal to all processes of a job; a worker that ended
      immediately would end the training before it is saved.

    :class:`~ecl.engine.StepSeedHook` sets it for the loaders of a run.

    Args:
        worker_id: Number of the worker. PyTorch has mixed it into the seed already.
        then: Function to call with ``worker_id`` afterwards.

    Example:
        >>> loader = torch.utils.data.DataLoader(range(4), num_workers=2,
        ...                                      worker_init_fn=epoch_worker_init_fn)
    """
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    parent = multiprocessing.parent_process()
    if parent is not None:  # without workers there is none
        # Another process starts the workers of a fork server. Windows has no SIGKILL.
        if sys.platform == 'linux' and os.getppid() == parent.pid:
            end_with(parent.pid, signal.SIGKILL)
        _ignore_signals(parent.pid)
    if then is not None:
        then(worker_id)


def prepare_workers(loader: DataLoader) -> None:
    """Make ``loader`` start its workers with :func:`epoch_worker_init_fn`.

    A function of the config is called afterwards. MMEngine's default function is replaced.
    """
    then = loader.worker_init_fn
    inner = getattr(then, 'func', then)
    if inner is engine_worker_init_fn:
        then = None
    if inner is not epoch_worker_init_fn:
        loader.worker_init_fn = partial(epoch_worker_init_fn, then=then)


def end_with(parent: int, number: int) -> None:
    """Let this process receive a signal when its parent ends, even by SIGKILL. Linux only.

    Args:
        parent: Process id of the parent.
        number: The signal.
    """
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before the call
            os._exit(1)


def _ignore_signals(parent: int | None) -> None:
    for number in {signal.SIGINT, *SIGNALS} - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    if not hasattr(signal, 'sigwaitinfo'):  # macOS and Windows do not report who sent a signal
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_wait_for_sigterm, args=(parent,), daemon=True).start()


def _wait_for_sigterm(parent: int | None) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
