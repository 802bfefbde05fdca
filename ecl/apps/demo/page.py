"""The page, built with gradio."""

from pathlib import Path
from typing import Any

import gradio as gr

from ecl.apis.predictor import Guess, Prediction, Predictor
from ecl.apps.demo.grad_cam import expert_maps, network_input, overlay
from ecl.errors import UserError

FONTS = ('system-ui', 'sans-serif')
MONOSPACE = ('ui-monospace', 'monospace')
#: Seconds after which an image that was dropped on the page is deleted, and between two looks.
KEPT = (3600, 600)
#: Of a picture; gradio's own choice has one that publishes it.
BUTTONS: list[Any] = ['download', 'fullscreen']
#: Small images fill their frame.
CSS = '#image img { width: 100%; height: 100%; object-fit: contain; }'
#: Stands for no class in particular.
MOST_PROBABLE = -1


def serve(checkpoint: str | Path, port: int | None = None) -> gr.Blocks:
    """Start serving the page in the background, to this machine alone.

    Args:
        checkpoint: A file that a training or ``tools/publish.py`` wrote.
        port: Port at 127.0.0.1; by default the first free one from 7860 on.

    Returns:
        The page; ``local_url`` is its address, ``close()`` ends it.

    Raises:
        UserError: If the checkpoint cannot be used or the port is taken.
    """
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
            # The ready-made themes fetch their fonts.
            theme=gr.themes.Default(font=FONTS, font_mono=MONOSPACE),
        )
    except OSError as error:
        where = f'port {port} is' if port else 'ports from 7860 on are'
        raise UserError(f'{where} taken: choose another with --port') from error
    return page


def build_page(predictor: Predictor, name: str) -> gr.Blocks:
    """Lay out the page.

    Args:
        predictor: Of the model to try.
        name: What to call it.

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
                    # The file as it is, read as tools/predict.py reads it.
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
