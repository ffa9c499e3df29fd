"""Every magic: its options and its manual. Imported by `%load_ext`, so it imports nothing heavy."""

from __future__ import annotations

from gke_notebook.magics.nodepool_parser import nodepool_parser
from gke_notebook.magics.options import Magic, Parser, amount, assignment, not_negative, seconds, whole_number


def connect_parser() -> Parser:
    """Give the parser of `%gke_connect`."""
    parser = Parser(
        "%gke_connect",
        "Connect this notebook to a cluster. Without TARGET, to the current context of your kubeconfig.",
        "Examples:\n"
        "  %gke_connect sandbox                        the embedded GKE on this machine, started when needed\n"
        "  %gke_connect my-context --namespace team    a context of your kubeconfig\n"
        "  %gke_connect my-project/us-central1/train   a GKE cluster: PROJECT/LOCATION/CLUSTER",
    )
    parser.add_argument(
        "target", metavar="TARGET", nargs="?", help="sandbox, a kubeconfig context, or PROJECT/LOCATION/CLUSTER"
    )
    parser.add_argument("--namespace", metavar="NAME", help="the namespace of the session (default: the context's)")
    return parser


def status_parser() -> Parser:
    """Give the parser of `%gke_status`."""
    return Parser(
        "%gke_status",
        "Show where this notebook is connected, what is free there and what you may do.",
        "Example:\n  %gke_status",
    )


def train_parser() -> Parser:
    """Give the parser of `%%gke_train` and `%gke_train`."""
    parser = Parser(
        "%%gke_train",
        "Run the cell below as a training job: every rank runs it, on every node.\n"
        "The Job is bound to the Python variable NAME (dashes become underscores). As a line,\n"
        "%gke_train NAME --file PATH runs a Python file in place of a cell.\n\n"
        "Interrupting the kernel while it waits leaves the job running: %gke_wait NAME attaches again,\n"
        "%gke_cancel NAME stops it. Values may come from Python variables: $name, $name.attribute or ${name};\n"
        "$$ is a dollar sign. --env $settings takes a dict, --include $paths a list.",
        "Examples:\n"
        "  %%gke_train digits --gpu l4:2 --nodes 2 --framework jax\n"
        "  %%gke_train digits --tpu v5e:4x4 --framework jax --spot\n"
        "  %%gke_train digits --nodes $nodes --env SEED=7 --max-duration 30m --no-wait\n"
        "  %gke_train digits --file train.py --dry-run",
    )
    parser.add_argument("name", metavar="NAME", help="the job's name: lower-case letters, digits and dashes")
    where = parser.add_argument_group("what it runs on")
    where.add_argument("--gpu", metavar="TYPE[:COUNT]", help="accelerators on each node, for example l4 or l4:2")
    where.add_argument(
        "--tpu",
        metavar="TYPE:TOPOLOGY[*SLICES]",
        help="TPU slices, for example v5e:4x4, v5litepod-16 or v5e:4x4*2; their hosts are the nodes",
    )
    where.add_argument("--nodes", metavar="N", type=whole_number, help="how many nodes (default: 1)")
    where.add_argument(
        "--procs-per-node",
        metavar="N",
        type=whole_number,
        help="ranks on each node (default: with a framework one for each accelerator, else 1)",
    )
    where.add_argument(
        "--fallback",
        metavar="LADDER",
        help="ways to have the machines, tried in order, each for a time: 'spot:l4@5m, flex:l4, l4, t4'",
    )
    where.add_argument("--cpu", metavar="CORES", help="CPUs requested on each node")
    where.add_argument("--memory", metavar="SIZE", help="memory requested on each node, for example 16Gi")
    where.add_argument("--image", metavar="IMAGE", help="the container image (default: by framework)")
    where.add_argument("--namespace", metavar="NAME", help="the namespace (default: the session's)")
    had = parser.add_argument_group("how its machines are had")
    had.add_argument("--spot", action="store_true", default=None, help="spot VMs: cheaper, and may go at any time")
    had.add_argument("--flex", action="store_true", default=None, help="flex-start VMs: for 7 days at most")
    had.add_argument("--reservation", metavar="NAME", help="machines of a reservation")
    had.add_argument("--zone", metavar="ZONE", help="only in this zone, for example us-central1-a")
    had.add_argument("--machine-type", metavar="TYPE", help="only on this machine type (default: any that fits)")
    had.add_argument("--compute-class", metavar="NAME", help="let this ComputeClass of the cluster decide")
    what = parser.add_argument_group("what it runs")
    what.add_argument(
        "--framework", metavar="NAME", help="whose rendezvous is wired: none, torch, jax or tensorflow (default: none)"
    )
    what.add_argument("--file", metavar="PATH", help="run this Python file; only without a cell")
    what.add_argument(
        "--env",
        metavar="KEY=VALUE",
        type=assignment,
        action="append",
        default=[],
        help="a variable for every rank; may be repeated",
    )
    what.add_argument(
        "--requirements", metavar="FILE|LIST", help="a requirements file, or names with commas; installed where missing"
    )
    what.add_argument(
        "--include", metavar="PATH", action="append", default=[], help="a file or folder to ship; may be repeated"
    )
    how = parser.add_argument_group("how it runs")
    how.add_argument(
        "--max-duration",
        metavar="TIME",
        help="stop it after this time, for example 30m (default: 1h; none for no limit)",
    )
    how.add_argument(
        "--max-retries", metavar="N", type=whole_number, help="start a failed node again so many times (default: 0)"
    )
    how.add_argument("--dry-run", action="store_true", help="show the plan; create nothing")
    how.add_argument(
        "--what-if",
        action="store_true",
        help="compare shapes and ways to have machines by price, wait and risk; create nothing",
    )
    how.add_argument("--queue-anyway", action="store_true", help="create it also when it cannot fit, to wait")
    how.add_argument("--replace", action="store_true", help="delete an ended job of this name first")
    wait = how.add_mutually_exclusive_group()
    wait.add_argument("--wait", dest="wait", action="store_true", default=True, help="wait for its end (default)")
    wait.add_argument("--no-wait", dest="wait", action="store_false", help="return at once; the card stays live")
    return parser


def jobs_parser() -> Parser:
    """Give the parser of `%gke_jobs`."""
    parser = Parser(
        "%gke_jobs", "List the training jobs of the namespace, newest first.", "Example:\n  %gke_jobs --everyone"
    )
    parser.add_argument("--namespace", metavar="NAME", help="the namespace (default: the session's)")
    parser.add_argument("--everyone", action="store_true", help="also the jobs of other people")
    return parser


def logs_parser() -> Parser:
    """Give the parser of `%gke_logs`."""
    parser = Parser(
        "%gke_logs",
        "Print the log of a job, a line each, with the rank that wrote it.",
        "Examples:\n  %gke_logs digits --rank 0 --tail 20\n  %gke_logs digits --follow",
    )
    parser.add_argument("name", metavar="NAME", help="the job's name")
    parser.add_argument("--rank", metavar="N", type=not_negative, help="only this rank (default: all)")
    parser.add_argument("--tail", metavar="N", type=not_negative, help="only the last N lines of each rank")
    parser.add_argument("--follow", action="store_true", help="go on until the job has ended")
    parser.add_argument("--namespace", metavar="NAME", help="the namespace (default: the session's)")
    return parser


def wait_parser() -> Parser:
    """Give the parser of `%gke_wait`."""
    parser = Parser(
        "%gke_wait",
        "Attach to a job: show its card and wait for its end; an error when it fails.\n"
        "Binds the Job to the Python variable NAME.",
        "Example:\n  %gke_wait digits --timeout 10m",
    )
    parser.add_argument("name", metavar="NAME", help="the job's name")
    parser.add_argument(
        "--timeout", metavar="TIME", type=seconds, help="wait no longer than this, for example 90s or 10m"
    )
    parser.add_argument("--namespace", metavar="NAME", help="the namespace (default: the session's)")
    return parser


def cancel_parser() -> Parser:
    """Give the parser of `%gke_cancel`."""
    parser = Parser(
        "%gke_cancel",
        "Stop a job: its pods end and its nodes are free again. Its record stays; the logs go with the pods.",
        "Example:\n  %gke_cancel digits",
    )
    parser.add_argument("name", metavar="NAME", help="the job's name")
    parser.add_argument("--namespace", metavar="NAME", help="the namespace (default: the session's)")
    return parser


def accelerators_parser() -> Parser:
    """Give the parser of `%gke_accelerators`."""
    parser = Parser(
        "%gke_accelerators",
        "List the GPUs and TPUs of GKE: memory, machine types, list prices, where they are and how they can be had.\n"
        "WORDS are names, families or machine types, for example h100, blackwell, tpu or a3-ultragpu.\n"
        "With --tpu-chips N, the TPU slices of at least N chips. Assigned to a variable, it is a DataFrame.",
        "Examples:\n"
        "  %gke_accelerators\n"
        "  %gke_accelerators hopper blackwell --region us-central1 --sort each\n"
        "  %gke_accelerators gpu --memory 150GB --max-price 20 --spot\n"
        "  %gke_accelerators --tpu-chips 16 --region us-east5",
    )
    parser.add_argument("words", metavar="WORDS", nargs="*", help="what to look for (default: everything)")
    parser.add_argument("--region", metavar="REGION", help="a region or a zone (default: everywhere)")
    parser.add_argument(
        "--memory", metavar="SIZE", help="the least memory of one machine's accelerators together, for example 200GB"
    )
    parser.add_argument(
        "--max-price", metavar="USD", type=amount, help="the most that a machine, or a slice, may cost in USD per hour"
    )
    parser.add_argument("--spot", action="store_true", help="only what has a spot price; --max-price is then of spot")
    parser.add_argument(
        "--sort", metavar="COLUMN", help="name, memory, price, spot or each; --sort=-price for the opposite order"
    )
    parser.add_argument("--tpu-chips", metavar="N", type=whole_number, help="the TPU slices of at least N chips")
    return parser


def quota_parser() -> Parser:
    """Give the parser of `%gke_quota`."""
    parser = Parser(
        "%gke_quota",
        "Show what the namespace, its queues and the Google Cloud project may have, what is used, and what a job\n"
        "takes: one that is on the cluster by its NAME, or one as the options say. Assigned to a variable, it is a\n"
        "DataFrame.",
        "Examples:\n  %gke_quota\n  %gke_quota digits\n  %gke_quota --gpu l4:2 --nodes 4 --spot",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="a job on the cluster")
    parser.add_argument("--gpu", metavar="TYPE[:COUNT]", help="accelerators on each node, for example l4 or l4:2")
    parser.add_argument("--tpu", metavar="TYPE:TOPOLOGY[*SLICES]", help="TPU slices, for example v5e:4x4")
    parser.add_argument("--nodes", metavar="N", type=whole_number, help="how many nodes (default: 1)")
    parser.add_argument("--cpu", metavar="CORES", help="CPUs requested on each node")
    parser.add_argument("--memory", metavar="SIZE", help="memory requested on each node, for example 16Gi")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--spot", action="store_true", help="spot VMs, which take from the preemptible quota")
    how.add_argument("--flex", action="store_true", help="flex-start VMs, which take from it too")
    how.add_argument("--reservation", metavar="NAME", help="machines of a reservation")
    parser.add_argument("--zone", metavar="ZONE", help="only in this zone")
    parser.add_argument("--namespace", metavar="NAME", help="the namespace (default: the session's)")
    return parser


def drill_parser() -> Parser:
    """Give the parser of `%gke_drill`."""
    parser = Parser(
        "%gke_drill",
        "Let something go wrong in the sandbox on purpose: a zone without machines, another quota, a preempted node,\n"
        "slow pulls of images, failing APIs. It lasts until it is stopped; gke-notebook sandbox drill does the same.",
        "Examples:\n"
        "  %gke_drill stockout --accelerator l4 --zone us-central1-a --spot\n"
        "  %gke_drill quota --accelerator l4 --limit 2\n"
        "  %gke_drill preempt gke-sandbox-l4-spot-pool-2ee27490-jkrw\n"
        "  %gke_drill slow-pull --seconds 60\n"
        "  %gke_drill api-errors --rate 0.3 --status 503\n"
        "  %gke_drill stop",
    )
    parser.add_argument("drill", metavar="DRILL", help="stockout, quota, preempt, slow-pull, api-errors, list or stop")
    parser.add_argument("name", metavar="NAME", nargs="?", help="the node to preempt, or the drill to stop")
    parser.add_argument("--accelerator", metavar="NAME", help="stockout, quota: for example l4, t4 or v5e")
    parser.add_argument("--zone", metavar="ZONE", help="stockout: only there (default: every zone)")
    parser.add_argument("--machine-type", metavar="TYPE", help="stockout: only machines of this type")
    parser.add_argument("--spot", action="store_true", help="stockout, quota: only spot (default: all)")
    parser.add_argument("--on-demand", action="store_true", help="stockout, quota: only on demand")
    parser.add_argument("--limit", metavar="N", help="quota: the limit, in accelerators")
    parser.add_argument("--seconds", metavar="N", help="slow-pull: how long a pull takes (default: 60)")
    parser.add_argument("--image", metavar="PATTERN", help="slow-pull: only images that match, as in a shell")
    parser.add_argument("--status", metavar="CODE", help="api-errors: 403, 429, 500 or 503 (default: 503)")
    parser.add_argument("--rate", metavar="SHARE", help="api-errors: which share of the requests (default: 1, all)")
    parser.add_argument("--count", metavar="N", help="api-errors: end after N failures (default: when stopped)")
    parser.add_argument("--api", metavar="API", help="api-errors: container, compute, cloudquotas or billing")
    return parser


MAGICS: tuple[Magic, ...] = (
    Magic("gke_connect", "line", connect_parser, "gke_notebook.magics.connect"),
    Magic("gke_status", "line", status_parser, "gke_notebook.magics.status"),
    Magic("gke_train", "line_cell", train_parser, "gke_notebook.magics.train"),
    Magic("gke_jobs", "line", jobs_parser, "gke_notebook.magics.jobs"),
    Magic("gke_logs", "line", logs_parser, "gke_notebook.magics.logs"),
    Magic("gke_wait", "line", wait_parser, "gke_notebook.magics.wait"),
    Magic("gke_cancel", "line", cancel_parser, "gke_notebook.magics.cancel"),
    Magic("gke_quota", "line", quota_parser, "gke_notebook.magics.quota"),
    Magic("gke_accelerators", "line", accelerators_parser, "gke_notebook.magics.accelerators"),
    Magic("gke_nodepool", "line", nodepool_parser, "gke_notebook.magics.nodepool"),
    Magic("gke_drill", "line", drill_parser, "gke_notebook.magics.drill"),
)
