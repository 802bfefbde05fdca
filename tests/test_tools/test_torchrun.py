import signal
import subprocess
import sys
import time

import pytest

# Stands in for a training: notes the signal as ecl.engine.resume.processes does, and saves.
FAKE = """
import os, pathlib, signal, sys, time
here = pathlib.Path(sys.argv[1], os.environ['RANK'])
def save(number, frame):
    here.with_suffix('.saved').write_text(signal.Signals(number).name)
    sys.exit(75)
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, save)
here.with_suffix('.ready').touch()
time.sleep(120)
"""


@pytest.mark.parametrize(('name', 'status'), [('SIGUSR1', 75), ('SIGHUP', 75), ('SIGINT', 130)])
def test_a_signal_reaches_every_process_and_sets_the_status(
    tools, environment, tmp_path, name, status
):
    (tmp_path / 'fake.py').write_text(FAKE)
    command = [sys.executable, tools / '_torchrun.py', '--standalone', '--nproc_per_node', '2']
    process = subprocess.Popen([*command, tmp_path / 'fake.py', tmp_path], env=environment)
    end = time.monotonic() + 120
    while len(list(tmp_path.glob('*.ready'))) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.Signals[name])
    assert process.wait(60) == status
    assert [path.read_text() for path in sorted(tmp_path.glob('*.saved'))] == [name, name]
