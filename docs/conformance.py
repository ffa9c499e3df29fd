"""Write docs/kubernetes.md: what the embedded API server does, from what the contract tests found.

    python -m pytest tests/contract && python docs/conformance.py

The tests run each scenario on the embedded server and on a real control plane (`make control-plane`) and leave the
outcomes in build/contract.json.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTCOMES = ROOT / "build" / "contract.json"
PAGE = ROOT / "docs" / "kubernetes.md"

HEAD = """# What the sandbox does as Kubernetes does

Made from the outcomes of the contract tests (`python docs/conformance.py`): each row is a scenario that was run on the
embedded API server, with its controllers where it needs them, and on a real control plane of Kubernetes 1.34.4, and
compared after uids, times, resource versions and generated names were made equal. What the embedded server lacks,
[the sandbox's page](sandbox.md) says; a real control plane takes its place with
`gke-notebook sandbox up --control-plane DIR`.

"""
WORDS = {
    ("same", "answered"): ("the same", "reference"),
    ("differs", "answered"): ("differs", "reference"),
    ("refused", "answered"): ("refused", "does it"),
}


def table(outcomes: list[dict[str, str]]) -> str:
    """Give the page.

    Args:
        outcomes: of the tests: kind, feature, embedded, real.
    """
    rows: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for found in outcomes:
        embedded, real = WORDS.get((found["embedded"], found["real"]), (found["embedded"], found["real"]))
        row = (found["feature"], embedded, real)
        if row not in rows[found["kind"]]:
            rows[found["kind"]].append(row)
    lines = [HEAD]
    for kind in sorted(rows, key=str.lower):
        lines += [
            "## " + ("Every kind" if kind == "*" else kind),
            "",
            "| feature | embedded | real control plane |",
            "|---|---|---|",
        ]
        lines += [
            f"| {feature.replace('|', '/')} | {embedded} | {real} |" for feature, embedded, real in sorted(rows[kind])
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Write the page."""
    if not OUTCOMES.exists():
        print(f"{OUTCOMES.relative_to(ROOT)} is not there: run the contract tests first", file=sys.stderr)
        return 1
    PAGE.write_text(table(json.loads(OUTCOMES.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
