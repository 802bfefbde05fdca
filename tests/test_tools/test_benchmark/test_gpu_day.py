"""The parts of gpu_day.sh, with an interpreter that only notes what it is asked."""

import subprocess

import pytest

FAKE = """#!/bin/sh
echo "$*" >> "$NOTED"
case "$*" in
    -c*) exit 1 ;;
    *"$FAILS"*) echo broken; exit 3 ;;
    *matrix.py*) mkdir -p "$OUT/matrix/ecl/seed0"
        touch "$OUT/matrix/ecl/seed0/config.py"
        echo epoch_2.pth > "$OUT/matrix/ecl/seed0/last_checkpoint"
        echo '| table |' > "$OUT/matrix/table.md" ;;
    *device_check.py*) echo 'step, graph: 4.0 ms a step' ;;
esac
"""


@pytest.fixture
def gpu_day(tools, tmp_path, environment):
    fake = tmp_path / 'python'
    fake.write_text(FAKE)
    fake.chmod(0o755)
    out, noted = tmp_path / 'out', tmp_path / 'noted'

    def run(fails='nothing'):
        variables = dict(PYTHON=str(fake), OUT=str(out), NOTED=str(noted), FAILS=fails)
        command = [tools / 'benchmark/gpu_day.sh', out, '9']
        done = subprocess.run(
            command, env={**environment, **variables}, capture_output=True, text=True, check=False
        )
        tried = [line.split()[0] for line in noted.read_text().splitlines() if line[0] != '-']
        return done, tried, (out / 'summary.txt').read_text()

    return run


PARTS = [
    *('tools/benchmark/device_check.py', 'tools/benchmark/step.py', 'tools/analysis/matrix.py'),
    *('tools/test.py', 'tools/predict.py', 'tools/export.py', 'tools/analysis/report.py'),
]


def test_all_parts_run_and_the_summary_has_their_results(gpu_day):
    done, tried, summary = gpu_day()
    assert done.returncode == 0, done.stderr
    assert tried == PARTS
    assert summary.count('passed in') == 7
    assert 'step, graph: 4.0 ms a step' in summary
    assert '| table |' in summary


def test_a_part_that_fails_is_named_and_the_others_run(gpu_day):
    done, tried, summary = gpu_day(fails='export.py')
    assert done.returncode == 1
    assert tried == PARTS
    assert 'export: FAILED with status 3' in summary
    assert summary.count('passed in') == 6


def test_a_second_call_skips_the_checks_that_passed(gpu_day):
    _, tried, _ = gpu_day(fails='step.py')
    assert tried == PARTS
    done, both, _ = gpu_day()
    assert done.returncode == 0, done.stderr
    assert both == PARTS + PARTS[1:]
