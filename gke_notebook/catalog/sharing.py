"""How one GPU can be shared: MIG partitions, time-sharing, MPS.

Facts: GoogleCloudPlatform/container-engine-accelerators (2026-06-11) for partitions and what a container may request;
GKE's own autoscaler (GoogleCloudPlatform/cluster-autoscaler, 2026-08-21) for the number of clients.
"""

from __future__ import annotations

from dataclasses import dataclass

from gke_notebook.catalog.accelerators import Accelerator, accelerator
from gke_notebook.catalog.tables import rows
from gke_notebook.errors import InvalidInput, nearest

STRATEGIES = ("time-sharing", "mps")
CLIENTS = range(2, 49)


@dataclass(frozen=True)
class Sharing:
    """How a GPU of one type can be shared.

    Args:
        accelerator: the short name of the GPU.
        partitions: its MIG partitions and how many of each one GPU has; empty for a GPU without MIG.
        strategies: the sharing strategies, of a GPU or of each partition.
        least_clients: the fewest clients of a shared GPU.
        most_clients: the most.
    """

    accelerator: str
    partitions: tuple[tuple[str, int], ...]
    strategies: tuple[str, ...] = STRATEGIES
    least_clients: int = CLIENTS.start
    most_clients: int = CLIENTS.stop - 1

    def per_gpu(self, partition: str) -> int:
        """Say how many of a MIG partition one GPU has.

        Args:
            partition: for example ``1g.10gb``.

        Raises:
            InvalidInput: this GPU has no such partition; the text has those it has.
        """
        known = dict(self.partitions)
        if partition not in known:
            said = nearest(partition, known) if known else "it cannot be partitioned"
            raise InvalidInput(f"{self.accelerator} has no MIG partition {partition!r}; {said}")
        return known[partition]

    def schedulable(self, gpus: int, partition: str = "", clients: int = 1) -> int:
        """Say how many `nvidia.com/gpu` a node offers.

        Args:
            gpus: GPUs on the node.
            partition: the MIG partition, empty for whole GPUs.
            clients: clients of each GPU or partition, 1 when it is not shared.

        Raises:
            InvalidInput: there is no such partition, or clients are out of range.

        Example:
            >>> sharing("a100").schedulable(8, "1g.5gb", clients=2)
            112
        """
        if clients != 1 and clients not in CLIENTS:
            raise InvalidInput(
                f"a shared GPU has {self.least_clients} to {self.most_clients} clients, not {clients}; "
                f"the nearest is {min(max(clients, self.least_clients), self.most_clients)}"
            )
        return gpus * (self.per_gpu(partition) if partition else 1) * clients

    def most_requested(self, gpus: int, strategy: str, partition: str = "") -> int:
        """Say how many `nvidia.com/gpu` one container may request where GPUs are shared.

        With time-sharing it is one. With MPS it is one too, unless the node has a single physical device; each MIG
        partition counts as a device.

        Args:
            gpus: GPUs on the node.
            strategy: ``time-sharing`` or ``mps``.
            partition: the MIG partition, empty for whole GPUs.
        """
        single = gpus * (self.per_gpu(partition) if partition else 1) == 1
        return self.most_clients if strategy == "mps" and single else 1


def sharing(kind: Accelerator | str) -> Sharing:
    """Say how a GPU can be shared.

    Args:
        kind: the GPU, or a name for `accelerator`.

    Raises:
        InvalidInput: there is no such accelerator.
    """
    found = accelerator(kind) if isinstance(kind, str) else kind
    partitions = tuple(
        (row["partition"], int(row["per_gpu"])) for row in rows("mig") if row["accelerator"] == found.label
    )
    return Sharing(found.name, partitions)
