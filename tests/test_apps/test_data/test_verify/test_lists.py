import pytest

from ecl.apps.data.verify import lists as module
from ecl.apps.data.verify.lists import repeated_lines, unlike_public
from ecl.datasets import ImageList
from ecl.datasets.public_lists import PublicList


def test_repeated_lines_are_named_with_both_numbers():
    content = 'a b.png 0\n\nc.png 1\r\na b.png 0\nd.png 1\nc.png\t2\n'
    assert list(repeated_lines(content, 'x.txt')) == [
        'x.txt, line 4 names the image of line 1 again: a b.png',
        'x.txt, line 6 names the image of line 3 again with label 2 instead of 1: c.png',
    ]


@pytest.mark.parametrize(
    ('name', 'content', 'differs'),
    [
        ('Birds_train', 'a 0\nb 0\nc 1\n', False),
        ('Birds_train', 'x 1\ny 0\nz 0\n', False),
        ('Birds_train', 'a 0\nb 0\n', True),
        ('Birds_train', 'a 0\nb 1\nc 2\n', True),
        ('mine', 'a 0\n', False),
    ],
)
def test_only_the_counts_under_a_public_name_must_agree(
    tmp_path, monkeypatch, name, content, differs
):
    monkeypatch.setattr(module, 'PUBLIC_LISTS', (PublicList('Birds_train', 'x', 3, 2, 2, 1),))
    (tmp_path / f'{name}.txt').write_text(content)
    told = unlike_public(ImageList(f'{name}.txt', data_root=str(tmp_path)))
    assert bool(told) == differs
    assert not differs or 'the public Birds_train has 3, 2 to 1' in told
