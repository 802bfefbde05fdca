"""A page to try a model on."""

import os

from ecl.errors import UserError

# Before gradio is imported.
os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'


def demo(checkpoint: str, port: int | None = None) -> None:
    """Serve a page on this machine alone, until Ctrl-C.

    Drop an image on it to see the top classes of the ensemble and of each expert, with the shot
    group of each class, and where the experts look. Nothing is loaded from elsewhere and nothing
    is sent anywhere.

    Args:
        checkpoint: A file that a training or ``tools/publish.py`` wrote.
        port: Port at 127.0.0.1; by default the first free one from 7860 on.

    Raises:
        UserError: If the checkpoint cannot be used, the port is taken, or the packages of the
            extra ``demo`` are not installed.
    """
    try:
        from ecl.apps.demo.page import serve
    except ModuleNotFoundError as error:
        raise UserError(
            f"the demo needs {error.name}: install its extra with pip install -e '.[demo]'"
        ) from error
    page = serve(checkpoint, port)
    print(f'Open {page.local_url} in a browser; Ctrl-C ends.', flush=True)
    page.block_thread()


__all__ = ['demo']
