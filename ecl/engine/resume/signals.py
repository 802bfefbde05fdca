"""Signals that ask a training to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import distributed

#: Exit status of a training that was told to stop and can be resumed: EX_TEMPFAIL of sysexits.h.
EXIT_STOPPED = 75
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@contextmanager
def exit_on_signal() -> Iterator[None]:
    """End the process with ``EXIT_STOPPED`` at SIGTERM and SIGUSR1, while there is nothing to save.

    The status tells a scheduler to try again, as it does later on; Ctrl-C has its usual effect. A
    fault after the signal counts as its effect, such as the loss of another process that it ended.
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
    """Remember SIGTERM, SIGUSR1 and SIGINT (Ctrl-C) instead of obeying at once.

    Inside the ``with`` block a training can end its step and save its state. A second Ctrl-C is
    obeyed at once, unless there are several processes: their launcher sends each signal on, so
    that they receive it twice.

    All processes of a training enter the block together.
    """

    def __init__(self) -> None:
        self.received = 0
        self._group: Any = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> 'StopSignals':
        if distributed.is_initialized():
            # On the processors, whatever the backend of the gradients: no step waits for a GPU.
            self._group = distributed.new_group(backend='gloo')
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
        """Whether any process was told to stop; all of them have to ask."""
        if self._group is not None:
            highest = torch.tensor(self.received)
            distributed.all_reduce(highest, distributed.ReduceOp.MAX, group=self._group)
            self.received = int(highest)
        return self.received > 0

    def leave(self) -> None:
        """End the process, if it was told to.

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
