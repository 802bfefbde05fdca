from torch import nn


class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.heard = []

    def set_progress(self, progress):
        self.heard.append(progress)


def _model(make_runner):
    model = make_runner.Experts()
    model.deep = nn.Sequential(nn.Identity(), Listener())
    return model


def test_modules_hear_the_share_that_is_done_also_after_a_resume(make_runner, tmp_path):
    model = _model(make_runner)
    make_runner(['TrainingProgressHook'], model=model, max_epochs=4).train()
    assert model.deep[1].heard == [0, 0.25, 0.5, 0.75]
    resumed = _model(make_runner)
    make_runner(
        ['TrainingProgressHook'],
        model=resumed,
        max_epochs=4,
        load_from=str(tmp_path / 'run/epoch_3.pth'),
        resume=True,
    ).train()
    assert resumed.deep[1].heard == [0.75]
