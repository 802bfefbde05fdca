"""Review a trained model: python tools/analysis/review.py WORK_DIR"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.experiments import review as main

if __name__ == '__main__':
    run_tool(main)
