"""put the folder of a run or preset on a hub, with its card

Needs keras-metric[hub] and a token that may write there (`hf auth login`, or HF_TOKEN). Whatever
takes a MODEL takes the hub's name for it, too.

examples:
  keras-metric publish out/digits-triplet hf://me/digits-triplet
  keras-metric publish out/digits-triplet hf://me/digits-triplet --private
"""

from argparse import ArgumentParser, Namespace

import zoo
from zoo.commands import Answer

MUST_EXIST = {
    "path": "the folder of a run or preset",
}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="DIR", help="folder of the run or preset")
    parser.add_argument("name", metavar="hf://OWNER/NAME", help="where it goes; @BRANCH may follow")
    parser.add_argument("--private", action="store_true", help="a new page is yours alone")


def run(options: Namespace) -> Answer:
    address = zoo.publish(options.path, options.name, private=options.private)
    return Answer({"commit": address}, f"{address}: published")
