"""`gke-notebook prices`: the list prices that the catalog uses."""

from __future__ import annotations

import argparse
from typing import Any


def add_parsers(commands: Any) -> None:
    """Add the command and its verbs.

    Args:
        commands: what `ArgumentParser.add_subparsers` gives.
    """
    prices = commands.add_parser("prices", help="the list prices that plans and tables use")
    verbs = prices.add_subparsers(dest="verb", required=True, metavar="VERB")
    refresh = verbs.add_parser(
        "refresh", help="read the current list prices from the Cloud Billing Catalog; needs Google credentials"
    )
    refresh.add_argument(
        "--region", action="append", default=[], metavar="REGION", help="only this region; repeatable (default: all)"
    )
    show = verbs.add_parser("show", help="print the prices of accelerators, with their source and date")
    show.add_argument("words", nargs="*", metavar="WORDS", help="names or families, for example l4 or hopper")
    show.add_argument("--region", default="", metavar="REGION", help="a region or a zone (default: everywhere)")
    verbs.add_parser("reset", help="forget what was refreshed; the prices of the package hold again")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked.

    Args:
        arguments: as the parser gives them.

    Returns:
        The exit code.
    """
    if arguments.verb == "refresh":
        return _refresh(arguments.region)
    if arguments.verb == "reset":
        from gke_notebook.catalog import price_files

        done = price_files.remove()
        print("the refreshed prices are gone; the package's hold again" if done else "no prices had been refreshed")
        return 0
    return _show(arguments.words, arguments.region)


def _refresh(regions: list[str]) -> int:
    from gke_notebook.cloud.billing import refresh
    from gke_notebook.insight.text import count

    path, found = refresh(regions)
    machines = len({row["machine_type"] for row in found.rows})
    places = len({row["region"] for row in found.rows})
    where = count(places, "region")
    print(f"{len(found.rows)} prices of {machines} machine types in {where}, from {found.skus} SKUs: {path}")
    for text in found.rejected:
        print(f"left out: {text}")
    return 0


def _show(words: list[str], region: str) -> int:
    from gke_notebook.catalog import offers
    from gke_notebook.catalog.search import find, nothing, summarise
    from gke_notebook.errors import InvalidInput
    from gke_notebook.widgets.accelerators import accelerators_view

    types = find(words)
    found = offers(types=types, location=region)
    if not found:
        raise InvalidInput(nothing(types, location=region, memory_gib=None, max_price=None, spot=False))
    print(accelerators_view(summarise(found), found, where=region))
    sources = sorted({f"{offer.source}, {offer.source_date}" for offer in found if offer.source})
    print("Sources: " + ("; ".join(sources) or "none"))
    return 0
