"""``tests/faults/run``."""

import sys

from tests.faults.program import main

sys.exit(main())
