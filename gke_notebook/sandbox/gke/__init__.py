"""The sandbox's Google Cloud: one fleet of pretended machines, and the REST APIs that see and change it.

One port serves them all, each with the bearer token of the sandbox:

* ``/v1/projects/P/{locations,zones}/L/...``: the Container API (clusters, node pools, operations, serverConfig);
* ``/compute/v1/projects/P/...``: Compute Engine (regions with quotas, zones, machine and accelerator types,
  reservations, instance group managers, instances);
* ``/v1/projects/P/locations/global/services/S/quotaInfos``: Cloud Quotas;
* ``/v1/services[/S/skus]``: the Cloud Billing catalog;
* ``/v2/entries:{write,list}``: Cloud Logging, where the cluster autoscaler writes;
* ``/sandbox/v1/...``: what only the sandbox has, for its own parts and for tests. Nothing of the product asks for it.

The sandbox's own part:

``GET instances?since=N&timeout=30``
    an `instances.Notice`: every machine. Answers at once when the fleet's revision is not ``N``, else waits up to
    ``timeout`` seconds (at most 60) for the next change.
``GET revision?since=N&timeout=30``
    ``{"revision": N, "factor": 20.0, "now": seconds on the fleet's clock}``, at once or at the next change, as above.
``GET instances/NAME``
    one `instances.Instance`.
``POST instances/NAME:preempt``
    Compute Engine takes a spot machine back: STOPPING, at most 30 real seconds of notice, gone; its group then tries to
    make it again. 400 for one that is not spot.
``POST instances/NAME:stopped``
    the node agent says that the shutdown is done; a machine that stops goes at once.
``GET faults``, ``POST faults``
    ``{"faults": [Fault, ...]}``, see `faults.Fault`; POST adds one and answers it with its id.
``DELETE faults/ID``, ``DELETE faults``
    removes one, or all; machines that wait for capacity are tried again at once.
``GET clock``, ``PUT clock``
    ``{"factor": 20.0, "now": seconds since 1970}``; PUT takes ``{"factor": N}``. A delay of real GKE divided by the
    factor is the delay here.

Machines that a group could not get stay in its managed instances as ``CREATING`` with the errors of the last attempt
(``ZONE_RESOURCE_POOL_EXHAUSTED``, ``QUOTA_EXCEEDED``, ``RESERVATION_...``), as in Compute Engine, and are tried again;
who gives up deletes them with ``deleteInstances``.
"""
