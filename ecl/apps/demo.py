"""Serve a page that shows the predictions of a model and Grad-CAM maps of its experts."""

import os
from pathlib import Path
from typing import Any

os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'  # read when gradio is imported

import gradio as gr
import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from matplotlib import colormaps
from PIL import Image

from ecl.apis.inference import Guess, Prediction, Predictor
from ecl.errors import UserError

FONTS = ('system-ui', 'sans-serif')
MONOSPACE = ('ui-monospace', 'monospace')
#: Seconds after which an uploaded image is deleted, and between two checks for such images.
KEPT = (3600, 600)
#: Buttons of a picture; those of gradio's default include one that publishes it.
BUTTONS: list[Any] = ['download', 'fullscreen']
#: Small images fill their frame.
CSS = '#image img { width: 100%; height: 100%; object-fit: contain; }'
#: Value of the entry "the most probable" among the classes.
MOST_PROBABLE = -1


def demo(checkpoint: str | Path, port: int | None = None) -> None:
    """Serve a page, only on this machine, until Ctrl-C.

    The page shows the top classes of an image by the ensemble and by each expert, with the shot
    group of each class, and a Grad-CAM map of each expert. It loads and sends nothing over the
    network.

    Args:
        checkpoint: As for :class:`~ecl.apis.Predictor`.
        port: Port at 127.0.0.1. Default: the first free one from 7860 on.

    Raises:
        UserError: If the checkpoint cannot be used or the port is taken.
    """
    page = serve(checkpoint, port)
    print(f'Open {page.local_url} in a browser; Ctrl-C ends.', flush=True)
    page.block_thread()


def serve(checkpoint: str | Path, port: int | None = None) -> gr.Blocks:
    """Start serving the page in the background, only on this machine.

    Args:
        checkpoint: As for :class:`~ecl.apis.Predictor`.
        port: Port at 127.0.0.1. Default: the first free one from 7860 on.

    Returns:
        The page; ``local_url`` is its address, ``close()`` ends it.

    Raises:
        UserError: If the checkpoint cannot be used, or there is no such port or it is taken.
    """
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f'--port: got {port}, expected a number from 1 to 65535')
    page = build_page(Predictor(checkpoint), Path(checkpoint).name)
    try:
        page.launch(
            server_name='127.0.0.1',
            server_port=port,
            share=False,
            ssr_mode=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            css=CSS,
            # The default themes load fonts from the network.
            theme=gr.themes.Default(font=FONTS, font_mono=MONOSPACE),
        )
    except OSError as error:
        where = f'port {port} is' if port else 'ports from 7860 on are'
        raise UserError(f'{where} taken: choose another with --port') from error
    return page


def build_page(predictor: Predictor, name: str) -> gr.Blocks:
    """Build the page.

    Args:
        predictor: Predictor of the model.
        name: Its title.

    Returns:
        The page, not served yet. Its function is ``/look`` in gradio's client: image, number of
        classes, class to explain (-1: the most probable). The answer holds the top classes of the
        model, those of each expert, then the Grad-CAM of each expert (of the model, if it has no
        experts).
    """
    experts = range(predictor.num_experts if predictor.num_experts > 1 else 0)
    num_maps = max(1, len(experts))

    def look(image: str | None, top: float, explained: int) -> list[Any]:
        nothing = [None] * (1 + len(experts) + num_maps)
        if image is None:
            return nothing
        try:
            prepared = predictor.prepare(image)
        except UserError as error:
            gr.Warning(f'This file cannot be used: {str(error).removeprefix(f"{image}: ")}')
            return nothing
        (prediction,) = predictor.predict_batch([prepared])
        guesses = [_shares(predictor, prediction, int(top), expert) for expert in (None, *experts)]
        label = int(prediction.scores.argmax()) if explained == MOST_PROBABLE else explained
        pixels, title = network_input(predictor, prepared), f'Grad-CAM: {predictor.classes[label]}'
        maps = expert_maps(predictor, prepared, label)[-num_maps:]
        return [*guesses, *(gr.Image(overlay(pixels, heat), label=title) for heat in maps)]

    with gr.Blocks(title=name, analytics_enabled=False, delete_cache=KEPT) as page:
        gr.Markdown(
            f'# {name}\n{len(predictor.classes)} classes'
            + (f', {len(experts)} experts. ' if experts else '. ')
            + 'Drop an image; it stays on this machine. In brackets: the shot group of a class and '
            'its training images.'
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                sources: list[Any] = ['upload', 'clipboard']
                image = gr.Image(
                    # The file itself, which is read as tools/predict.py reads it.
                    type='filepath',
                    image_mode=None,
                    sources=sources,
                    label='image',
                    height=280,
                    elem_id='image',
                )
                top = gr.Slider(
                    1,
                    min(10, len(predictor.classes)),
                    value=min(5, len(predictor.classes)),
                    step=1,
                    label='classes to show',
                )
                explained = gr.Dropdown(
                    [('the most probable', MOST_PROBABLE)]
                    + [(text, label) for label, text in enumerate(predictor.classes)],
                    value=MOST_PROBABLE,
                    label='class to explain',
                )
            with gr.Column(scale=2, min_width=320):
                labels = [gr.Label(label='ensemble' if experts else 'model', show_heading=False)]
                pictures = []
                with gr.Row():
                    for k in experts or [None]:
                        with gr.Column(min_width=200):
                            if k is not None:
                                labels.append(gr.Label(label=f'expert {k}', show_heading=False))
                            pictures.append(
                                gr.Image(label='Grad-CAM', format='png', buttons=BUTTONS)
                            )
        events = [image.change, top.change, explained.change]
        inputs, outputs = [image, top, explained], [*labels, *pictures]
        gr.on(events, look, inputs, outputs, api_name='look', show_progress='minimal')
    return page


def _shares(
    predictor: Predictor, prediction: Prediction, top: int, expert: int | None
) -> dict[str, float]:
    return {
        _described(predictor, guess): guess.score
        for guess in predictor.top(prediction, k=top, expert=expert)
    }


def _described(predictor: Predictor, guess: Guess) -> str:
    if predictor.class_counts is None:
        return guess.name
    return f'{guess.name} ({guess.shot_group}, {predictor.class_counts[guess.label]})'


#: Shortest side of a picture on the page; smaller ones are enlarged without smoothing.
SIDE = 224


def expert_maps(predictor: Predictor, prepared: dict[str, Any], label: int) -> np.ndarray:
    """Compute Grad-CAM maps of a class on the last feature map of each expert.

    The feature map of an expert affects the logit of the whole model only through this expert. So
    one backward pass is enough for all experts.

    Args:
        predictor: Predictor of the model.
        prepared: Result of its method ``prepare``.
        label: The class.

    Returns:
        Grad-CAM (Selvaraju et al., 2017), shape (K, h, w) as large as the network's input, each
        0 to 1; all 0 for a backbone that ends in vectors instead of maps.
    """
    data = predictor.model.data_preprocessor({'inputs': prepared['inputs'][None]}, training=False)
    with torch.enable_grad():
        found = LayerGradCam(predictor.model, predictor.model.backbone).attribute(
            data['inputs'], target=label, relu_attributions=True
        )
    maps = found if isinstance(found, tuple) else (found,)
    size = tuple(data['inputs'].shape[-2:])
    if maps[0].ndim != 4:
        return np.zeros((len(maps), *size))
    large = [LayerAttribution.interpolate(map, size, 'bilinear')[0, 0] for map in maps]
    return np.stack([(map / map.max().clamp_min(1e-12)).detach().cpu().numpy() for map in large])


def network_input(predictor: Predictor, prepared: dict[str, Any]) -> np.ndarray:
    """Return an image as the input of the network: (h, w, 3), uint8, RGB."""
    pixels = prepared['inputs'].numpy().transpose(1, 2, 0)
    to_rgb = getattr(predictor.model.data_preprocessor, 'to_rgb', False)
    return np.ascontiguousarray(pixels[..., ::-1] if to_rgb else pixels)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> Image.Image:
    """Draw a map over an image.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        heat: (h, w), 0 to 1. Where it is 0, the image is only darkened.

    Returns:
        A picture of at least 224 pixels at its shortest side.
    """
    colours = 255 * colormaps['inferno'](heat)[..., :3]
    mixed = (0.5 * pixels + 0.5 * colours).astype(np.uint8)
    factor = -(-SIDE // min(heat.shape))
    picture = Image.fromarray(mixed)
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )
