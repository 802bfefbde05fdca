"""Write a page about trainings: python tools/analysis/report.py WORK_DIR ..."""

from ecl.apps.cli import run_tool
from ecl.apps.commands.experiments import report as main

if __name__ == '__main__':
    run_tool(main)
