"""`python -m zoo` is `keras-metric`."""

import sys

from zoo.cli import main

sys.exit(main())
