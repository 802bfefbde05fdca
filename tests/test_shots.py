from ecl.shots import THRESHOLDS, configured_thresholds


def test_thresholds_are_those_of_the_test_else_of_the_validation():
    test = dict(type='ShotAccuracy', thresholds=(5, 10))
    val = [dict(type='Accuracy'), dict(type='ShotAccuracy', thresholds=[1, 2])]
    assert configured_thresholds({'test_evaluator': test, 'val_evaluator': val}) == (5, 10)
    assert configured_thresholds({'test_evaluator': None, 'val_evaluator': val}) == (1, 2)
    assert configured_thresholds({'test_evaluator': dict(type='ShotAccuracy')}) == THRESHOLDS
    assert configured_thresholds({}) == THRESHOLDS == (20, 100)
