"""``python -m upramp``."""

from __future__ import annotations

import sys

from upramp.cli import main

if __name__ == "__main__":
    sys.exit(main())
