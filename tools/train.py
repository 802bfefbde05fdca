"""Train a model: python tools/train.py configs/ecl/ecl_r8_digits-lt.py"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.model import train as main

if __name__ == '__main__':
    run_tool(main)
