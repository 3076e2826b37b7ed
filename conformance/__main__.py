"""The command: `python -m conformance`."""

from __future__ import annotations

import sys

try:
    from conformance.command import main
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] in ("conformance", "rnnspec"):
        raise
    sys.stderr.write(f"python -m conformance needs {error.name}: pip install 'rnnspec[conformance]'\n")
    sys.exit(2)

if __name__ == "__main__":
    main()
