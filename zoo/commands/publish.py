"""publish the folder of a run or preset on a model hub, with its card

Needs keras-metric[hub] and a token with write access (`hf auth login`, or HF_TOKEN). Every command
that takes a MODEL also takes the name on the hub.

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
    parser.add_argument("name", metavar="hf://OWNER/NAME", help="destination; @BRANCH may follow")
    parser.add_argument("--private", action="store_true", help="make a new repository private")


def run(options: Namespace) -> Answer:
    address = zoo.publish(options.path, options.name, private=options.private)
    return Answer({"commit": address}, f"{address}: published")
