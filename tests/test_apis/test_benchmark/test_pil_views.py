import torch

from ecl.apis.benchmark.pil_views import PILViews


def test_views_keep_size_and_vary():
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    views = PILViews(images, num_views=2)
    first, second = views(), views()
    assert [view.shape for view in first] == [(3, 3, 16, 16)] * 2
    assert all(view.dtype == torch.float32 for view in first)
    assert not torch.equal(first[0], second[0])


def test_one_view_for_a_model_without_contrast():
    assert len(PILViews(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), num_views=1)()) == 1
