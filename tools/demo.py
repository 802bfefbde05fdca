"""Try a model in the browser: python tools/demo.py CHECKPOINT"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.model import demo as main

if __name__ == '__main__':
    run_tool(main)
