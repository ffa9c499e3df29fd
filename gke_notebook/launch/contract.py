"""The agreement between the objects we create and what runs inside the pod: paths, variables, markers, limits.

Imported on both sides, so it uses the standard library only and never changes meaning within a version of the format.

The outcome
-----------
The launcher of every pod ends by writing one JSON object to the termination message (at most 4096 bytes of UTF-8):

====================  ==================================================================================================
``gke_notebook``      the version of this format, 1
``job``, ``run``      the job's name and the id of the run
``node``              the number of the pod's node: its completion index, counted over all slices
``retry``             how often this index had failed before
``exit_code``         of the container: 0, the first failing rank's own, 128 + n after signal n, 143 when stopped
``signal``            the signal that ended the first failing rank, absent for none
``rank``              the first failing rank in time (global), absent when no rank failed
``stage``             where it failed: ``cell``; ``requirements``, ``files`` or ``start`` before a rank ran; ``stopped``
                      when the pod was told to end (it was deleted, or preempted)
``error``             the exception's last line, or what happened, in one line
``traceback``         with the cell's own line numbers; the middle is left out when it is too long
``failed_at``         when the first failing rank failed, ISO 8601 with microseconds and offset
``python``            the interpreter's version, because a pickled result may need the same one
``result``            a payload, only from node 0 of a job whose cell set the variable ``result`` in rank 0
``output``            a payload, only from node 0 and only when files were written to the output directory
====================  ==================================================================================================

A payload is ``{"kind", "size", "sha256"}`` and one of ``data`` (it is here: the JSON text itself for kind ``json``,
else base64), ``lines`` (it follows the log of rank 0 in so many marked lines) or ``refused`` (why it did not come back,
in one line; the job has succeeded all the same, because a result that is too large must not lose the training).
``files`` counts the files of an output archive. Kinds are ``json``, ``pickle`` and ``tar.gz``.

A marked line is ``MARKER + part + " " + number + "/" + total + " " + sha256 + " " + base64`` with part ``result`` or
``output`` and number from 1. Results and files come back from a job that succeeds, not from one that fails.
"""

from __future__ import annotations

FORMAT = 1

# Paths inside the container.
ROOT = "/gke-notebook"
PROGRAM_DIRECTORY = f"{ROOT}/program"
WORK_DIRECTORY = f"{ROOT}/work"
OUTPUT_DIRECTORY = f"{WORK_DIRECTORY}/output"
TERMINATION_LOG = "/dev/termination-log"

# Files in the program directory (keys of the ConfigMap, "/" in a path written as "__" there).
CELL_FILE = "cell.py"
NAMES_FILE = "notebook.py"
REQUIREMENTS_FILE = "requirements.txt"
INCLUDE_FILE = "include.tar.gz"
LAUNCHER_DIRECTORY = "launcher"  # holds LAUNCH_PACKAGE; apart, so that `notebook` and `cell` never become importable
BOOTSTRAP_FILE = "run.py"  # the container runs `python3 <program directory>/run.py`
LAUNCH_PACKAGE = "gke_notebook_launch"  # the name under which gke_notebook.launch travels

# Environment variables that the manifest sets and the launcher reads.
ENV_JOB = "GKE_NOTEBOOK_JOB"
ENV_RUN = "GKE_NOTEBOOK_RUN"
ENV_NODES = "GKE_NOTEBOOK_NODES"
ENV_PROCS_PER_NODE = "GKE_NOTEBOOK_PROCS_PER_NODE"
ENV_FRAMEWORK = "GKE_NOTEBOOK_FRAMEWORK"
ENV_COORDINATOR = "GKE_NOTEBOOK_COORDINATOR"  # host:port of rank 0
ENV_WORKERS = "GKE_NOTEBOOK_WORKERS"  # comma-separated host:port of every rank (TensorFlow only)
ENV_TERMINATION_LOG = "GKE_NOTEBOOK_TERMINATION_LOG"
ENV_PROGRAM = "GKE_NOTEBOOK_PROGRAM"  # the program directory
ENV_WORK = "GKE_NOTEBOOK_WORK"  # the working directory
ENV_OUTPUT = "GKE_NOTEBOOK_OUTPUT"  # files written here come back
ENV_ACCELERATORS = "GKE_NOTEBOOK_ACCELERATORS"  # accelerators per node
ENV_NODE_INDEX = "JOB_COMPLETION_INDEX"  # set by Kubernetes itself for an Indexed Job
ENV_RETRY = "GKE_NOTEBOOK_RETRY"  # how often this index has failed before
ENV_SLICES = "GKE_NOTEBOOK_SLICES"  # how many slices (Jobs of a JobSet); absent for one
ENV_SLICE = "GKE_NOTEBOOK_SLICE"  # the number of this pod's slice
ENV_TPU = "GKE_NOTEBOOK_TPU"  # the TPU and its topology, for example v5e:4x4; absent without a TPU
SLICE_JOB = (
    "slice"  # the Jobs of a JobSet are named <job>-slice-<number>, their pods' hosts <job>-slice-<number>-<node>
)

# Variables that the launcher sets for the cell, beside those of the framework.
ENV_RANK = "RANK"
ENV_WORLD_SIZE = "WORLD_SIZE"
ENV_LOCAL_RANK = "LOCAL_RANK"
ENV_RECORD = "GKE_NOTEBOOK_RECORD"  # the descriptor on which a rank tells the launcher how it went; gone in the cell
RESERVED_PREFIX = "GKE_NOTEBOOK_"
RESERVED = frozenset({ENV_NODE_INDEX, ENV_RANK, ENV_WORLD_SIZE, ENV_LOCAL_RANK, "MASTER_ADDR", "MASTER_PORT"})

RENDEZVOUS_PORT = 29500  # PyTorch's documented default for MASTER_PORT; used for every framework
TENSORFLOW_PORT = 2222

# What comes back. A termination message holds 4096 bytes (Kubernetes API reference, Container.terminationMessagePath);
# larger results follow the log of rank 0 as marked lines.
TERMINATION_MESSAGE_LIMIT = 4096
RESULT_LIMIT = 1 * 2**20  # bytes of the encoded result, before base64
OUTPUT_LIMIT = 4 * 2**20  # bytes of the output archive, after compression
OUTPUT_EXPANDED_LIMIT = 64 * 2**20  # bytes of the output files, before compression
OUTPUT_FILES_LIMIT = 10_000
INLINE_LIMIT = 1500  # bytes of a payload inside the termination message, as written there
RESULT_NAME = "result"
RANK_PREFIX = "[rank {rank}] "  # before every line of a rank when several ranks share a pod
MARKER = "\x1egke-notebook:"  # a record separator no ordinary line starts with
CHUNK = 8192  # base64 characters in one marked line

EXIT_NOT_STARTED = 70  # the pod's exit code when no rank could be started: requirements, files, a broken contract
EXIT_STOPPED = 143  # 128 + SIGTERM
