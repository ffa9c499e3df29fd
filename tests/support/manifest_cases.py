"""Jobs of every shape, and the cluster each is rendered for: the golden manifests, and what servers are asked about."""

from __future__ import annotations

from typing import Any

from gke_notebook.manifests import ClusterFacts
from gke_notebook.specs import AcceleratorRequest, Program, ShippedName, TpuRequest, TrainSpec

CELL = "# %%gke_train digits\nimport numpy as np\n\nx = np.zeros(3)\nresult = float(normalize(x).sum())\n"
NORMALIZE = ShippedName("normalize", "function", "def normalize(x):\n    return x / 16\n")
BATCH = ShippedName("batch", "value", "batch = 32\n")


def make(**more: Any) -> TrainSpec:
    program = more.pop("program", Program(CELL))
    base = {"name": "digits", "namespace": "research", "run": "20260901-1a2b", "owner": "ada", "image": "python:3.12"}
    return TrainSpec(program=program, **{**base, **more})


STANDARD = ClusterFacts(version=(1, 34), jobsets=True)
AUTOPILOT = ClusterFacts(version=(1, 34), jobsets=True, autopilot=True)
L4 = AcceleratorRequest("l4", 1)
H100 = AcceleratorRequest("h100", 8)

_ALL: dict[str, tuple[TrainSpec, ClusterFacts]] = {
    "cpu": (make(), STANDARD),
    "jax-4-ranks": (
        make(
            program=Program(CELL, names=(NORMALIZE, BATCH), requirements=("numpy>=1.23",)),
            framework="jax",
            nodes=2,
            procs_per_node=2,
            max_duration=600,
            price_usd_hour=0.96123,
        ),
        STANDARD,
    ),
    "torch-l4-retried": (
        make(
            framework="torch",
            nodes=4,
            accelerator=AcceleratorRequest("l4", 2),
            image="pytorch/pytorch:2.9.0",
            env=(("NCCL_DEBUG", "INFO"), ("PRICE", "$(5)")),
            cpu=3.5,
            memory_gib=12.5,
            max_retries=3,
        ),
        STANDARD,
    ),
    "tensorflow": (make(framework="tensorflow", nodes=2, procs_per_node=2), STANDARD),
    "l4-spot": (make(nodes=2, accelerator=L4, provisioning="spot", zone="us-central1-a"), STANDARD),
    "l4-spot-autopilot": (make(nodes=2, accelerator=L4, provisioning="spot"), AUTOPILOT),
    "l4-reserved": (
        make(accelerator=L4, provisioning="reservation", reservation="ours", machine_type="g2-standard-24"), STANDARD
    ),
    "l4-reserved-autopilot": (make(accelerator=L4, provisioning="reservation", reservation="ours"), AUTOPILOT),
    "l4-class": (make(accelerator=L4, compute_class="gpus"), STANDARD),
    "gb200-flex": (make(accelerator=AcceleratorRequest("gb200", 4), provisioning="flex-start"), STANDARD),
    "h100-tcpx": (
        make(nodes=2, accelerator=H100, framework="torch", procs_per_node=8, env=(("NCCL_ALGO", "Ring"),)),
        ClusterFacts(version=(1, 34), networks=("vpc1", "vpc2", "vpc3", "vpc4")),
    ),
    "h100-mega-tcpxo": (
        make(nodes=2, accelerator=AcceleratorRequest("h100-mega", 8), framework="torch", procs_per_node=8),
        ClusterFacts(version=(1, 34), networks=tuple(f"gpu-{number}" for number in range(1, 9))),
    ),
    "tpu-v5e-4x4": (make(nodes=4, tpu=TpuRequest("v5e", "4x4"), framework="jax", cpu=84, memory_gib=144), STANDARD),
    "tpu-v5e-2x4-autopilot": (make(tpu=TpuRequest("v5e", "2x4"), framework="jax"), AUTOPILOT),
    "tpu-two-slices": (
        make(
            nodes=8, tpu=TpuRequest("v5e", "4x4", 2), framework="jax", max_retries=2, max_duration=600,
            provisioning="spot",
        ),
        STANDARD,
    ),
}  # fmt: skip
CASES = {name: spec for name, (spec, _) in _ALL.items()}
FACTS = {name: facts for name, (_, facts) in _ALL.items()}
