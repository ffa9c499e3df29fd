"""Before the tests: build the control plane where Go is there, and say loudly what is skipped where it is not."""

from __future__ import annotations

import os
import sys

from gke_notebook.sandbox.controlplane import build

LINE = "=" * 100
TEXT = """WITHOUT A REAL CONTROL PLANE the comparison with Kubernetes and the tests with kubectl are SKIPPED;
what is above says why it could not be built."""


def main() -> int:
    """Build; a failure is one only where `CI` says that nothing may be skipped."""
    code = build.main()
    if code:
        print(f"{LINE}\n{TEXT}\n{LINE}", file=sys.stderr)
    return code if os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
