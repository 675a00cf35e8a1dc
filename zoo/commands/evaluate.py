"""measure a finished run again, from the model it left behind

examples:
  keras-metric evaluate out/digits-triplet
  keras-metric evaluate out/digits-triplet --json
"""

from argparse import ArgumentParser, Namespace

import zoo
from zoo.commands import Answer, add_data, table


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="RUN", help="folder of the run")
    add_data(parser)


def run(options: Namespace) -> Answer:
    report = zoo.evaluate(options.path, data=options.data)
    return Answer(report, table(report))
