import os
import signal
from contextlib import suppress

import pytest

from ecl.engine.resume.signals import EXIT_STOPPED, StopSignals, exit_on_signal


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]


def test_nothing_happens_without_a_signal():
    before = handlers()
    with StopSignals() as stop:
        assert handlers() != before
        assert not stop.agreed()
        stop.leave()
    assert handlers() == before


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_waits_for_the_end_of_the_step_and_sets_the_status(number):
    before = handlers()
    with pytest.raises(SystemExit) as caught, StopSignals() as stop:
        for _ in range(2):
            os.kill(os.getpid(), number)
        assert stop.agreed()
        stop.leave()
    assert caught.value.code == EXIT_STOPPED == 75
    assert handlers() == before


def test_a_second_interrupt_does_not_wait():
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.agreed()
        with pytest.raises(KeyboardInterrupt):
            stop.leave()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_fault_after_a_signal_is_its_effect():
    with pytest.raises(SystemExit) as stopped, exit_on_signal():
        with suppress(SystemExit):  # raised where Python passes over it, as in a callback
            signal.raise_signal(signal.SIGTERM)
        raise RuntimeError('another process, which got the signal too, is gone')
    assert stopped.value.code == EXIT_STOPPED


def test_a_fault_without_a_signal_stays_one():
    with pytest.raises(RuntimeError, match='of its own'), exit_on_signal():
        raise RuntimeError('of its own')
