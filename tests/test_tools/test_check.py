import json

import pytest

from ecl.apps.data.verify import Report


@pytest.fixture
def check(load_tool, monkeypatch, capsys):
    """Run the tool on a report; gives the arguments, the exit status and the output."""
    tool = load_tool('dataset/check')

    def check(words, faults):
        calls = []

        def check_data(*arguments):
            calls.append(arguments)
            return Report('a.py', faults=faults)

        monkeypatch.setattr('ecl.apps.data.verify.check_data', check_data)
        with pytest.raises(SystemExit) as caught:
            tool.main(words.split())
        return calls[0], caught.value.code, capsys.readouterr().out

    return check


def test_sound_data_exit_with_0(check):
    arguments, status, output = check('a.py', {})
    assert arguments == ('a.py', None, None, None, ())
    assert (status, 'No fault found.' in output) == (0, True)


def test_faults_exit_with_1_and_json_holds_them_all(check):
    words = 'a.py --json --workers 3 --work-dir w --accept leak empty --cfg-options a=1'
    arguments, status, output = check(words, {'images': ['x.png: gone'] * 20})
    assert arguments == ('a.py', 'w', 3, {'a': 1}, ['leak', 'empty'])
    assert status == 1
    report = json.loads(output)
    assert len(report['faults']['images']) == 20
    assert report['sound'] is False
