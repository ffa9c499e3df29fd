"""Tables: what `kubectl get` shows."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from gke_notebook.sandbox.apiserver.durations import human_seconds, since
from gke_notebook.sandbox.apiserver.kinds import KINDS
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.tables import table

KIND = {kind.kind: kind for kind in KINDS}
NOW = datetime(2026, 1, 1, 1, 0, 0, tzinfo=timezone.utc)
MADE = "2026-01-01T00:55:00Z"


def cells(kind, **parts):
    obj = {"metadata": {"name": "x", "creationTimestamp": MADE, **parts.pop("metadata", {})}, **parts}
    found = table(KIND[kind], [obj], metadata={}, now=NOW)
    names = [column["name"] for column in found["columnDefinitions"]]
    (row,) = found["rows"]
    assert len(row["cells"]) == len(names)
    return dict(zip(names, row["cells"], strict=True))


def pod(*containers, init=(), phase="Running", spec=None, metadata=None, **status):
    return cells(
        "Pod",
        metadata=metadata or {},
        spec={"containers": [{"name": str(index)} for index in range(max(1, len(containers)))], **(spec or {})},
        status={
            "phase": phase, "containerStatuses": list(containers), "initContainerStatuses": list(init), **status,
        },
    )  # fmt: skip


RUNNING = {"name": "0", "ready": True, "restartCount": 0, "state": {"running": {}}}


def waiting(reason):
    return {"name": "0", "ready": False, "restartCount": 0, "state": {"waiting": {"reason": reason}}}


def ended(code, reason="", signal=0):
    terminated = {"exitCode": code, "reason": reason, "signal": signal}
    return {"name": "0", "ready": False, "restartCount": 0, "state": {"terminated": terminated}}


@pytest.mark.parametrize(
    ("row", "ready", "state"),
    [
        (pod(phase="Pending"), "0/1", "Pending"),
        (pod(waiting("ContainerCreating"), phase="Pending"), "0/1", "ContainerCreating"),
        (pod(RUNNING), "1/1", "Running"),
        (pod(RUNNING, RUNNING), "2/2", "Running"),
        (pod(waiting("CrashLoopBackOff")), "0/1", "CrashLoopBackOff"),
        (pod(ended(0, "Completed"), phase="Succeeded"), "0/1", "Completed"),
        (pod(ended(1, "Error"), phase="Failed"), "0/1", "Error"),
        (pod(ended(137, "OOMKilled"), phase="Failed"), "0/1", "OOMKilled"),
        (pod(ended(3), phase="Failed"), "0/1", "ExitCode:3"),
        (pod(ended(0, signal=9), phase="Failed"), "0/1", "Signal:9"),
        (pod(ended(0, "Completed"), RUNNING, conditions=[{"type": "Ready", "status": "True"}]), "1/2", "Running"),
        (pod(ended(0, "Completed"), RUNNING), "1/2", "NotReady"),
        (pod(phase="Failed", reason="Evicted"), "0/1", "Evicted"),
        (pod(RUNNING, metadata={"deletionTimestamp": MADE}), "1/1", "Terminating"),
        (pod(RUNNING, metadata={"deletionTimestamp": MADE}, reason="NodeLost"), "1/1", "Unknown"),
        (pod(ended(0, "Completed"), phase="Succeeded", metadata={"deletionTimestamp": MADE}), "0/1", "Completed"),
        (
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated", "status": "False"}]),
            "0/1",
            "SchedulingGated",
        ),
        (pod(init=[waiting("")], phase="Pending", spec={"initContainers": [{"name": "0"}]}), "0/1", "Init:0/1"),
        (pod(init=[waiting("ErrImagePull")], phase="Pending"), "0/1", "Init:ErrImagePull"),
        (pod(init=[ended(1, "Error")], phase="Pending"), "0/1", "Init:Error"),
        (pod(init=[ended(2)], phase="Pending"), "0/1", "Init:ExitCode:2"),
        (pod(waiting("PodInitializing"), init=[ended(0, "Completed")], phase="Pending"), "0/1", "PodInitializing"),
    ],
)  # fmt: skip
def test_the_state_of_a_pod(row, ready, state):
    assert (row["Ready"], row["Status"]) == (ready, state)


def test_a_sidecar_counts_as_a_container():
    sidecar = {"name": "s", "ready": True, "started": True, "restartCount": 2, "state": {"running": {}}}
    row = pod(RUNNING, init=[sidecar], spec={"initContainers": [{"name": "s", "restartPolicy": "Always"}]})
    assert (row["Ready"], row["Restarts"]) == ("2/2", "2")


def test_restarts_say_when_the_last_was():
    crashed = {**RUNNING, "restartCount": 3, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:54:59Z"}}}
    assert pod(crashed)["Restarts"] == "3 (5m1s ago)"
    assert pod({**RUNNING, "restartCount": 3})["Restarts"] == "3"


def test_the_wide_columns_of_a_pod():
    row = pod(RUNNING, podIPs=[{"ip": "10.0.0.1"}], spec={"nodeName": "n"})
    assert (row["IP"], row["Node"], row["Nominated Node"], row["Readiness Gates"]) == (
        "10.0.0.1",
        "n",
        "<none>",
        "<none>",
    )
    gates = pod(
        RUNNING, spec={"readinessGates": [{"conditionType": "a"}]}, conditions=[{"type": "a", "status": "True"}]
    )
    assert (gates["IP"], gates["Readiness Gates"]) == ("<none>", "1/1")


def job(spec=None, metadata=None, **status):
    return cells(
        "Job", spec={"completions": 3, "parallelism": 2, **(spec or {})}, metadata=metadata or {}, status=status
    )


def condition(kind):
    return [{"type": kind, "status": "True"}]


def test_the_row_of_a_job():
    row = job(succeeded=1, startTime="2026-01-01T00:59:00Z")
    assert (row["Status"], row["Completions"], row["Duration"], row["Age"]) == ("Running", "1/3", "60s", "5m")
    assert job()["Duration"] == ""
    done = job(startTime=MADE, completionTime="2026-01-01T00:55:09Z", conditions=condition("Complete"))
    assert (done["Status"], done["Duration"]) == ("Complete", "9s")
    assert job(spec={"completions": None})["Completions"] == "0/1 of 2"
    for kind in ("Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"):
        assert job(conditions=condition(kind))["Status"] == kind
    deleted = {"deletionTimestamp": MADE}
    assert job(metadata=deleted, conditions=condition("Suspended"))["Status"] == "Terminating"
    assert job(metadata=deleted, conditions=condition("Complete"))["Status"] == "Complete"
    spec = {
        "template": {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}},
        "selector": {"matchLabels": {"x": "y"}, "matchExpressions": [{"key": "z", "operator": "In", "values": ["1"]}]},
    }
    row = job(spec=spec)
    assert (row["Containers"], row["Images"], row["Selector"]) == ("a,b", "i,j", "x=y,z in (1)")


def test_the_row_of_a_node():
    info = {"kubeletVersion": "v1", "osImage": "os"}
    row = cells(
        "Node",
        metadata={"labels": {"node-role.kubernetes.io/b": "", "kubernetes.io/role": "a"}},
        spec={"unschedulable": True},
        status={
            "conditions": condition("Ready"),
            "nodeInfo": info,
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        },
    )
    assert (row["Status"], row["Roles"], row["Version"]) == ("Ready,SchedulingDisabled", "a,b", "v1")
    assert (row["Internal-IP"], row["External-IP"], row["OS-Image"]) == ("10.0.0.1", "<none>", "os")
    assert row["Container-Runtime"] == "<unknown>"
    assert cells("Node")["Status"] == "Unknown"
    assert cells("Node", status={"conditions": [{"type": "Ready", "status": "Unknown"}]})["Status"] == "NotReady"


def test_the_rows_of_the_other_kinds():
    service = cells(
        "Service",
        spec={
            "type": "ClusterIP",
            "clusterIPs": ["None"],
            "ports": [{"port": 80, "protocol": "TCP"}],
            "selector": {"a": "b"},
        },
    )
    assert (service["Cluster-IP"], service["External-IP"], service["Port(s)"]) == ("None", "<none>", "80/TCP")
    assert service["Selector"] == "a=b"
    balancer = cells("Service", spec={"type": "LoadBalancer", "ports": [{"port": 1, "nodePort": 2, "protocol": "UDP"}]})
    assert (balancer["External-IP"], balancer["Port(s)"]) == ("<pending>", "1:2/UDP")
    assert cells("ConfigMap", data={"a": ""}, binaryData={"b": ""})["Data"] == 2
    assert cells("Secret", type="Opaque", data={"a": ""}) == {"Name": "x", "Type": "Opaque", "Data": 1, "Age": "5m"}
    assert cells("Namespace", status={"phase": "Active"})["Status"] == "Active"
    assert cells("Lease", spec={"holderIdentity": "h"})["Holder"] == "h"
    assert cells("ServiceAccount")["Secrets"] == 0
    assert cells("PriorityClass", value=3)["Global-Default"] is False
    subsets = [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 1}]}]
    assert cells("Endpoints", subsets=subsets)["Endpoints"] == "10.0.0.0:1,10.0.0.1:1,10.0.0.2:1 + 2 more..."
    assert cells("Endpoints")["Endpoints"] == "<none>"


def test_the_row_of_an_event():
    row = cells(
        "Event",
        involvedObject={"kind": "Pod", "name": "p", "fieldPath": "spec.containers{a}"},
        firstTimestamp=MADE,
        lastTimestamp="2026-01-01T00:59:50Z",
        source={"component": "kubelet", "host": "n"},
        message=" m\n",
        type="Normal",
        reason="R",
    )
    assert (row["Last Seen"], row["First Seen"], row["Object"]) == ("10s", "5m", "pod/p")
    assert (row["Source"], row["Message"], row["Count"], row["Subobject"]) == (
        "kubelet, n", "m", 1, "spec.containers{a}",
    )  # fmt: skip
    series = {"count": 4, "lastObservedTime": "2026-01-01T00:59:58.000000Z"}
    row = cells("Event", eventTime="2026-01-01T00:59:00.000000Z", series=series, reportingComponent="c")
    assert (row["Last Seen"], row["First Seen"], row["Count"], row["Source"]) == ("2s", "60s", 4, "c")


def test_what_a_row_carries():
    obj = {"metadata": {"name": "x"}, "spec": {}, "status": {"phase": "Succeeded"}}

    def row(include):
        return table(KIND["Pod"], [obj], metadata={"resourceVersion": "7"}, now=NOW, include_object=include)["rows"][0]

    assert row("")["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "x"},
    }
    assert row("Object")["object"] is obj
    assert row("None")["object"] is None
    assert row("None")["conditions"][0]["reason"] == "Succeeded"
    with pytest.raises(StatusError, match='unrecognized includeObject value: "x"'):
        row("x")


def test_a_watch_sends_the_columns_once():
    found = table(KIND["Pod"], [], metadata={"resourceVersion": "7"}, now=NOW, columns=False)
    assert (found["columnDefinitions"], found["rows"], found["metadata"]) == (None, [], {"resourceVersion": "7"})
    columns = table(KIND["Pod"], [], metadata={}, now=NOW)["columnDefinitions"]
    assert [each["name"] for each in columns if each["priority"]] == ["IP", "Node", "Nominated Node", "Readiness Gates"]
    assert columns[0] == {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"),
        (10799, "179m"), (10800, "3h"), (11000, "3h3m"), (28800, "8h"), (172799, "47h"), (172800, "2d"),
        (180000, "2d2h"), (691200, "8d"), (63072000, "2y"), (66000000, "2y33d"), (300000000, "9y"),
    ],
)  # fmt: skip
def test_durations_are_short(seconds, text):
    assert human_seconds(seconds) == text


def test_what_is_no_time_is_unknown():
    assert since(None, NOW) == since("", NOW) == since("x", NOW) == "<unknown>"
