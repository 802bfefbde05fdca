"""Train with several seeds: python tools/analysis/matrix.py MATRIX"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.experiments import matrix as main

if __name__ == '__main__':
    run_tool(main)
