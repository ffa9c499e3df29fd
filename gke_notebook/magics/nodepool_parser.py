"""The options and the manual of `%gke_nodepool`."""

from __future__ import annotations

from gke_notebook.magics.options import Parser, assignment, not_negative, seconds, whole_number

ACTIONS = ("list", "create", "resize", "delete", "extend", "explain", "wait", "cancel")


def nodepool_parser() -> Parser:
    """Give the parser of `%gke_nodepool`."""
    parser = Parser(
        "%gke_nodepool",
        "See and change the node pools of the cluster: list, create NAME, resize NAME, delete NAME, extend NAME,\n"
        "explain NAME, wait NAME, cancel NAME. Every pool made here has a lease, which is shown and can be extended;\n"
        "nothing is deleted by itself. Interrupting the kernel while it waits leaves the change going on:\n"
        "%gke_nodepool wait NAME follows it again. Asking twice for the same pool makes one. Assigned to a variable,\n"
        "the list is a DataFrame.",
        "Examples:\n"
        "  %gke_nodepool list --orphans\n"
        "  %gke_nodepool create l4 --gpu l4:1 --spot --max 4\n"
        "  %gke_nodepool create slice --tpu v5e:4x4 --zone us-central1-a --lease 2h --dry-run\n"
        "  %gke_nodepool resize l4 --max 8\n"
        "  %gke_nodepool extend l4 --lease 4h\n"
        "  %gke_nodepool delete l4",
    )
    parser.add_argument("action", metavar="ACTION", nargs="?", help=f"{', '.join(ACTIONS)} (default: list)")
    parser.add_argument("name", metavar="NAME", nargs="?", help="the node pool")
    what = parser.add_argument_group("create: what the nodes are")
    what.add_argument("--gpu", metavar="TYPE[:COUNT]", help="GPUs of each node, for example l4 or a100-80gb:8")
    what.add_argument("--tpu", metavar="TYPE:TOPOLOGY", help="the TPU slice that the pool is, for example v5e:4x4")
    what.add_argument("--machine-type", metavar="NAME", help="the machine type (default: the smallest that fits)")
    what.add_argument("--driver", metavar="VERSION", help="the GPU driver: latest, default or disabled")
    what.add_argument("--sharing", metavar="HOW:N", help="N clients share each GPU: time-sharing:4 or mps:4")
    what.add_argument("--mig", metavar="SIZE", help="MIG partitions of this size, for example 1g.10gb")
    what.add_argument("--disk", metavar="SIZE", help="the boot disk's size (default: 100GB)")
    what.add_argument("--disk-type", metavar="TYPE", help="the boot disk's type (default: the machine's usual one)")
    what.add_argument("--local-ssd", metavar="N", type=not_negative, help="local SSDs for temporary files")
    what.add_argument("--label", metavar="KEY=VALUE", type=assignment_of_label, action="append", help="a node label")
    what.add_argument("--taint", metavar="KEY=VALUE:EFFECT", action="append", help="a node taint")
    what.add_argument("--workload-metadata", metavar="MODE", help="gke (default) or gce")
    what.add_argument("--no-secure-boot", action="store_true", help="let nodes start unsigned software")
    what.add_argument("--no-image-streaming", action="store_true", help="load images as a whole before they start")
    what.add_argument("--no-gvnic", action="store_true", help="without Google's virtual network card")
    how = parser.add_argument_group("create: how they are had, and where")
    how.add_argument("--spot", action="store_true", help="spot VMs, which may be taken back at any time")
    how.add_argument("--flex", action="store_true", help="flex-start: when there is capacity, for at most 7 days")
    how.add_argument("--queued", action="store_true", help="only for a ProvisioningRequest, all nodes at once")
    how.add_argument("--reservation", metavar="NAME", help="from a reservation, or from any that fits")
    how.add_argument("--zone", metavar="ZONE", action="append", help="where; may be repeated")
    how.add_argument("--compact", action="store_true", help="close together, in one zone")
    how.add_argument("--max-run-duration", metavar="TIME", help="how long each machine may run, at most 7d")
    how.add_argument("--lease", metavar="TIME", help="create, extend: how long the pool is wanted (default: 8h)")
    size = parser.add_argument_group("create, resize: how many")
    size.add_argument("--nodes", metavar="N", type=not_negative, help="so many, in all zones together")
    size.add_argument("--min", metavar="N", type=not_negative, help="the fewest nodes (default: 0)")
    size.add_argument("--max", metavar="N", type=whole_number, help="the most nodes (default: 4)")
    size.add_argument("--per-zone", action="store_true", help="create: --min and --max hold for each zone")
    more = parser.add_argument_group("otherwise")
    more.add_argument("--dry-run", action="store_true", help="create: show the exact request and send nothing")
    more.add_argument("--no-wait", action="store_true", help="do not wait for the end of the change")
    more.add_argument("--timeout", metavar="TIME", type=seconds, help="wait no longer than this, for example 10m")
    more.add_argument("--orphans", action="store_true", help="list: only pools that nobody seems to want")
    more.add_argument("--expired", action="store_true", help="delete: every pool whose lease is over")
    more.add_argument("--force", action="store_true", help="delete: also when jobs run on it")
    return parser


def assignment_of_label(text: str) -> tuple[str, str]:
    """Read a label.

    Args:
        text: ``KEY=VALUE``; the key may have dots, dashes and a prefix.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        return assignment(text)  # says what is wanted
    return key, value
