import json

import pytest

from ecl.apps.experiments.plan import read_matrix
from ecl.errors import UserError


@pytest.mark.parametrize('seeds', [[0, 0], ['a'], [-1], [True], 3])
def test_seeds_are_whole_numbers_and_no_two_alike(tmp_path, seeds):
    path = tmp_path / 'm.json'
    path.write_text(json.dumps(dict(title='T', seeds=seeds, rows=[{'name': 'A'}])))
    with pytest.raises(UserError, match=r'm\.json: seeds: got .*, and no two alike\.'):
        read_matrix(path)
