"""Evaluate a checkpoint: python tools/test.py CONFIG CHECKPOINT"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.model import test as main

if __name__ == '__main__':
    run_tool(main)
