"""The agreement between the objects we create and what runs inside the pod: paths, variables, markers, limits.

Imported on both sides, so it uses the standard library only and never changes meaning within a version of the format.
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
BOOTSTRAP_FILE = "run.py"  # the container runs `python3 <program directory>/run.py`
LAUNCH_PACKAGE = "gke_notebook_launch"  # the name under which gke_notebook.launch travels

# Environment variables that the manifest sets and the launcher reads.
ENV_JOB = "GKE_NOTEBOOK_JOB"
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

# Variables that the launcher sets for the cell, beside those of the framework.
ENV_RANK = "RANK"
ENV_WORLD_SIZE = "WORLD_SIZE"
ENV_LOCAL_RANK = "LOCAL_RANK"

RENDEZVOUS_PORT = 29500  # PyTorch's documented default for MASTER_PORT; used for every framework
TENSORFLOW_PORT = 2222

# What comes back. A termination message holds 4096 bytes (Kubernetes API reference, Container.terminationMessagePath);
# larger results follow the log of rank 0 as marked lines.
TERMINATION_MESSAGE_LIMIT = 4096
RESULT_LIMIT = 1 * 2**20  # bytes of the encoded result, before base64
OUTPUT_LIMIT = 4 * 2**20  # bytes of the output archive, after compression
RANK_PREFIX = "[rank {rank}] "  # before every line of a rank when several ranks share a pod
MARKER = "\x1egke-notebook:"  # a record separator no ordinary line starts with
CHUNK = 8192  # base64 characters in one marked line
