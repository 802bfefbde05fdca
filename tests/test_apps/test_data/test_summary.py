import io
import shlex

from rich.console import Console

from ecl.apps.data.prepare_folder import Prepared, prepare_folder
from ecl.apps.data.split import Split
from ecl.apps.data.summary import print_summary


def _printed(prepared):
    console = Console(file=io.StringIO(), width=80)
    print_summary(prepared, console)
    return console.file.getvalue()


def test_summary_has_counts_groups_and_the_next_command(birds, tmp_path):
    text = _printed(prepare_folder(birds, tmp_path / 'mine', test=2))
    assert '3 classes' in text
    assert 'few-shot (10 to 3)' in text
    assert 'Largest class: grey heron (10); smallest: 雀 (3); imbalance factor 3.33' in text
    assert f'ecl train {tmp_path}/mine/config.py' in text


def test_printed_commands_can_be_pasted(birds, tmp_path):
    text = _printed(prepare_folder(birds, tmp_path / "o'neil" / 'my birds'))
    (line,) = [line for line in text.splitlines() if line.startswith('Train with: ')]
    *_, path = shlex.split(line.removeprefix('Train with: '))
    assert path == f"{tmp_path}/o'neil/my birds/config.py"


def test_few_test_images_are_told_with_what_they_are_worth(birds, tmp_path):
    text = _printed(prepare_folder(birds, tmp_path / 'mine'))
    assert 'accuracy is about +/- 57 points. Use ' in text
    assert '--test-fraction 0.2' in text
    text = _printed(prepare_folder(birds, tmp_path / 'half', test=0.5))
    assert 'points.\n' in text
    for number, told in ((96, True), (97, False)):
        tested = Split([('a', 0)], [], [(str(i), 0) for i in range(number)], {})
        prepared = Prepared(tmp_path, ('a',), tested, {}, '', [])
        assert ('+/- 10 points' in _printed(prepared)) == told
