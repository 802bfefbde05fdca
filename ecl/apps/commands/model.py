"""Commands that train a model or use a trained model."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml

from ecl import apis
from ecl.apis.checkpoint import find_checkpoint
from ecl.apis.config import configs_root
from ecl.apps import export as exporter
from ecl.apps import predict as files
from ecl.apps import publish as publishing
from ecl.apps.cli import COMMANDS, add_cfg_options, add_common_arguments, add_trust_argument
from ecl.checkpoint_file import WEIGHTS
from ecl.datasets.image_file import EXTENSIONS
from ecl.errors import UserError
from ecl.evaluation import markdown_table
from ecl.evaluation.distributions import IMBALANCE_FACTORS

#: Trained model that comes with the package.
DIGITS = 'ecl_r8_digits-lt'
#: Help of an argument.
CHECKPOINT = 'checkpoint file, or the work dir of a training'
#: Completion of commands, of configurations by name, and of files.
COMPLETION = """\
_ecl() {{
    local words=""
    case "$COMP_CWORD ${{COMP_WORDS[1]}}" in
        "1 "*) words="{commands}" ;;
        "2 train" | "2 test" | "2 config" | "2 check" | "2 browse" | "2 distribution")
            words="{configs}" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$2") $(compgen -f -- "$2"))
}}
complete -o filenames -F _ecl ecl
"""


def train(argv: Sequence[str] | None = None) -> None:
    """Train a model."""
    parser = ArgumentParser(description='Train a model.')
    parser.add_argument('config', help='configuration file, or name as in: ecl list')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='auto|PATH',
        help='resume from a checkpoint; without a value or with "auto": from the latest',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision in bfloat16')
    parser.add_argument('--seed', type=int, help='random seed; default: that of the file, or 0')
    parser.add_argument(
        '--epochs',
        type=int,
        metavar='N',
        help='train for N epochs and scale the learning rate schedule to them',
    )
    parser.add_argument(
        '--no-validate', dest='validate', action='store_false', help='train without validation'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the images of a step over those of the configuration',
    )
    arguments = vars(parser.parse_args(argv))
    with apis.trust_checkpoints(arguments.pop('trust_checkpoint')):
        apis.train(**arguments)


def test(argv: Sequence[str] | None = None) -> None:
    """Evaluate a checkpoint."""
    parser = ArgumentParser(description='Evaluate a checkpoint on the test data.')
    parser.add_argument('config', help='configuration file, or name as in: ecl list')
    parser.add_argument('checkpoint', help=CHECKPOINT)
    add_common_arguments(parser)
    parser.add_argument(
        '--out',
        metavar='FILE.json|FILE.pkl',
        help='write the metrics (.json) or the prediction of each image (.pkl) to this file',
    )
    parser.add_argument('--show-dir', help='folder for the test images with their predictions')
    parser.add_argument(
        '--per-class',
        metavar='FILE.csv',
        help='write the accuracy of each class and its training images to this file',
    )
    parser.add_argument(
        '--distributions',
        dest='imbalance_factors',
        nargs='*',
        type=float,
        metavar='IF',
        help='also print the accuracy on long-tailed test data of these imbalance factors, in the '
        'order of the training data and reversed; default: 50 25 10 5 2',
    )
    parser.add_argument(
        '--test-lists',
        nargs='+',
        default=(),
        metavar='LIST',
        help='also print the accuracy on these lists, such as ImageNet_LT_forward50.txt',
    )
    parser.add_argument('--tta', action='store_true', help='average over several views of an image')
    parser.add_argument(
        '--adjust',
        metavar='METHOD',
        help='adjust the classifiers to balanced test data by logit-adjustment, tau-norm or a '
        'method of your own; the unadjusted model is also tested',
    )
    parser.add_argument(
        '--tau',
        type=lambda text: text if text == 'auto' else float(text),
        metavar='auto|VALUE',
        help='strength of --adjust (default method: logit-adjustment); auto (default): chosen '
        'on validation data or training images, never on test images',
    )
    parser.add_argument(
        '--adapt',
        action='store_true',
        help='find weights of the experts on the unlabelled test images (SADE); the model with '
        'equal weights is also tested',
    )
    arguments = vars(parser.parse_args(argv))
    factors = arguments.pop('imbalance_factors')
    arguments['imbalance_factors'] = () if factors is None else factors or IMBALANCE_FACTORS
    with apis.trust_checkpoints(arguments.pop('trust_checkpoint')):
        apis.test(**arguments)


def predict(argv: Sequence[str] | None = None) -> None:
    """Predict images; exit with 1 if a file is not a valid image."""
    parser = ArgumentParser(description='Predict images and folders of images.')
    _add_checkpoint(parser)
    parser.add_argument(
        'source', nargs='+', metavar='IMAGE_OR_FOLDER', help='folders are searched at any depth'
    )
    parser.add_argument(
        '--topk', type=int, default=5, help='number of classes to print; default: 5'
    )
    parser.add_argument(
        '--expert', type=int, metavar='K', help='use only this expert, counted from 0'
    )
    parser.add_argument(
        '--out', metavar='FILE.csv|FILE.json', help='write the predictions to this file'
    )
    parser.add_argument('--batch-size', type=int, default=32, help='default: 32')
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if there is one')
    parser.add_argument(
        '--tau',
        type=float,
        help='adjust the classifiers to balanced data with this strength, such as 1',
    )
    parser.add_argument(
        '--adjust',
        metavar='METHOD',
        help='method of the adjustment: tau-norm or one of your own; default: logit-adjustment',
    )
    parser.add_argument(
        '--thresholds',
        metavar='FILE.json',
        help='mark predictions below the threshold of their class as not sure; see: ecl review',
    )
    add_trust_argument(parser)
    arguments = vars(parser.parse_intermixed_args(argv))
    if arguments['checkpoint'] is None and Path(arguments['source'][0]).suffix in WEIGHTS:
        parser.error('give an image or a folder after the checkpoint')
    if Path(arguments['checkpoint'] or '').suffix.lower() in EXTENSIONS:
        arguments['source'].insert(0, arguments['checkpoint'])
        arguments['checkpoint'] = None
    with apis.trust_checkpoints(arguments.pop('trust_checkpoint')):
        arguments['checkpoint'] = _chosen(arguments['checkpoint'])
        results = files.predict(**arguments)
    if arguments['out'] is not None:
        number = sum(not result.fault for result in results)
        print(f'{arguments["out"]}: predictions of {number} images')
    sys.exit(any(result.fault for result in results))


def _add_checkpoint(parser: ArgumentParser) -> None:
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help=f'{CHECKPOINT}; no configuration is needed; default: the model of handwritten '
        'digits that comes with the package',
    )


def _chosen(checkpoint: str | None) -> str:
    if checkpoint is None:
        print(f'No checkpoint given: using {DIGITS} (handwritten digits).', file=sys.stderr)
        return DIGITS
    return checkpoint


def demo(argv: Sequence[str] | None = None) -> None:
    """Serve the demo page."""
    parser = ArgumentParser(description='Serve a page to try a model, only on this machine.')
    _add_checkpoint(parser)
    parser.add_argument('--port', type=int, help='default: the first free port from 7860')
    add_trust_argument(parser)
    arguments = vars(parser.parse_args(argv))
    from ecl.apps.demo import demo  # its packages are an extra

    with apis.trust_checkpoints(arguments.pop('trust_checkpoint')):
        arguments['checkpoint'] = _chosen(arguments['checkpoint'])
        demo(**arguments)


def export(argv: Sequence[str] | None = None) -> None:
    """Export a model, and print the largest difference of its predictions."""
    parser = ArgumentParser(
        description='Write a model as one file that needs neither this package nor a configuration.'
    )
    parser.add_argument('checkpoint', help=CHECKPOINT)
    parser.add_argument(
        '--out',
        required=True,
        metavar='FILE.onnx|FILE.pt2',
        help='file to write: ONNX, or a torch.export program',
    )
    parser.add_argument(
        '--what', default='ensemble', help='ensemble (default), or one expert: expert0, ...'
    )
    parser.add_argument(
        '--preprocess',
        action='store_true',
        help='take images as uint8, and normalise them in the file',
    )
    add_trust_argument(parser)
    arguments = vars(parser.parse_args(argv))
    with apis.trust_checkpoints(arguments.pop('trust_checkpoint')):
        print('Exporting; this takes up to a minute.', file=sys.stderr, flush=True)
        exported = exporter.export(**arguments)
    print(f'{arguments["out"]}: differs from PyTorch by at most {exported.difference:.1e}')
    print(*exporter.preprocessing_lines(exported.preprocessing), sep='\n')


def publish(argv: Sequence[str] | None = None) -> None:
    """Publish a checkpoint, and print its sizes."""
    parser = ArgumentParser(
        description='Write a checkpoint without the training state, as .pth and .safetensors. '
        'The file name contains the first digits of its SHA-256 sum.'
    )
    parser.add_argument('checkpoint', help=CHECKPOINT)
    parser.add_argument(
        '--out', metavar='FILE.pth', help='default: FOLDER_CHECKPOINT, in the same folder'
    )
    parser.add_argument('--half', action='store_true', help='store the weights in float16')
    add_trust_argument(parser)
    arguments = parser.parse_args(argv)
    with apis.trust_checkpoints(arguments.trust_checkpoint):
        checkpoint = find_checkpoint(arguments.checkpoint)
        path = publishing.publish(checkpoint, arguments.out, arguments.half)
    before, after = (Path(file).stat().st_size / 1e6 for file in (checkpoint, path))
    print(f'{path} ({after:.1f} MB, before {before:.1f} MB)')


def print_config(argv: Sequence[str] | None = None) -> None:
    """Print a configuration."""
    parser = ArgumentParser(description='Print the whole configuration, bases and options merged.')
    parser.add_argument('config', help='configuration file, or name as in: ecl list')
    add_cfg_options(parser)
    arguments = parser.parse_args(argv)
    print(apis.load_config(arguments.config, cfg_options=arguments.cfg_options).pretty_text)


def list_configs(argv: Sequence[str] | None = None) -> None:
    """Print the configurations that come with the package, and their recorded results."""
    parser = ArgumentParser(description='List the configurations by name, with their results.')
    parser.add_argument(
        'pattern', nargs='?', default='*', help='part of the names, such as cifar100 or "ecl_*_lt"'
    )
    pattern = parser.parse_args(argv).pattern
    names = apis.list_models(pattern if set('*?') & set(pattern) else f'*{pattern}*')
    if not names:
        raise UserError(f'no configuration matches {pattern!r}; all names: ecl list')
    results = {}
    for path in configs_root().glob('*/metafile.yml'):
        for model in yaml.safe_load(path.read_text())['Models']:
            for result in model.get('Results', ()):
                results[model['Name']] = (result['Dataset'], result['Metrics']['Top 1 Accuracy'])
    rows = [(name, *results.get(name, (None, None))) for name in names]
    print(markdown_table(pd.DataFrame(rows, columns=['configuration', 'data', 'accuracy (%)'])))


def completion(argv: Sequence[str] | None = None) -> None:
    """Print the completion script for a shell."""
    parser = ArgumentParser(
        description='Print the completion script. bash: ecl completion > '
        '~/.local/share/bash-completion/completions/ecl; zsh: add to ~/.zshrc the line '
        'source <(ecl completion zsh)'
    )
    parser.add_argument('shell', nargs='?', choices=('bash', 'zsh'), default='bash')
    if parser.parse_args(argv).shell == 'zsh':
        print('autoload -Uz compinit bashcompinit && compinit && bashcompinit')
    configs = ' '.join(apis.list_models())
    print(COMPLETION.format(commands=' '.join(COMMANDS), configs=configs), end='')
