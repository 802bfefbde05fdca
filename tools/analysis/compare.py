"""Compare trainings: python tools/analysis/compare.py RUN RUN ..."""

from ecl.apps.cli import run_tool
from ecl.apps.commands.experiments import compare as main

if __name__ == '__main__':
    run_tool(main)
