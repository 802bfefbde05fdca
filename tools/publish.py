"""Publish a checkpoint: python tools/publish.py CHECKPOINT"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.model import publish as main

if __name__ == '__main__':
    run_tool(main)
