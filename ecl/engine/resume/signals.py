"""Signals that stop a training."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import distributed

#: Exit status of a training that was stopped and can be resumed: EX_TEMPFAIL of sysexits.h.
EXIT_STOPPED = 75
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
#: Seconds that a rank waits for the others. Longer than it waits for its own data workers, so
#: that the rank whose data workers hang reports it.
TIMEOUT = 600


@contextmanager
def exit_on_signal() -> Iterator[None]:
    """Exit with ``EXIT_STOPPED`` on SIGTERM and SIGUSR1 while there is nothing to save.

    The status tells a scheduler to start the job again. Ctrl-C keeps its usual effect. An error
    after the signal counts as its effect, such as the loss of another rank.
    """
    told = False

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal told
        told = True
        raise SystemExit(EXIT_STOPPED)

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {n: signal.signal(n, leave) for n in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    except Exception:
        if told:
            raise SystemExit(EXIT_STOPPED) from None
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class StopSignals:
    """Note SIGTERM, SIGUSR1 and SIGINT (Ctrl-C) instead of obeying them at once.

    Inside the ``with`` block a training can finish its step and save its state. A second Ctrl-C is
    obeyed at once if there is one process. With several, their launcher sends each signal on, so
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
            self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}
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
