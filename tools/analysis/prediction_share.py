"""Draw predictions per class: python tools/analysis/prediction_share.py RUN ... --out NAME"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.experiments import prediction_share as main

if __name__ == '__main__':
    run_tool(main)
