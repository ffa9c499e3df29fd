"""Lists and watches: selectors, pages, versions, bookmarks."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

from typing import Any

from gke_notebook.cluster.resources import CONFIG_MAPS, EVENTS, JOBS, NODES, PODS, SECRETS
from tests.contract.both import Both, Side
from tests.contract.samples import ECHO, config_map, pod, sample, without_descriptions

MERGE = "application/merge-patch+json"


async def some(side: Side, count: int = 5) -> list[str]:
    """Make labelled ConfigMaps; gives the version of each."""
    versions = []
    for index in range(count):
        labels = {
            "in": "list",
            "n": str(index),
            "parity": "even" if index % 2 == 0 else "odd",
            **({"x": ""} if index == 3 else {}),
        }
        made = await side.ask("POST", side.path(CONFIG_MAPS), config_map(f"c{index}", labels=labels), record=False)
        versions.append(made["body"]["metadata"]["resourceVersion"])
    return versions


async def test_label_selectors(both: Both):
    async def scenario(side: Side) -> None:
        await some(side)
        for selector in (
            "in=list,parity=even", "in=list,parity==odd", "in=list,parity!=odd", "in=list,n in (1,2)", "in=list,n notin (1, 2)",
            "in=list,x", "in=list,!x", "in=list,x=", "in=list,n>2", "in=list,n<2", "in in (list)", "in=list,", ",in=list", "in=list,,n=1", "a b", "in=list n",
            "n in ()", "n in (,)", "n in 1", "!x=1", "=1", "n=1=2", "a/b/c=1", "-a=1", "n>x", "in=list,n in (1", "(", "in=list,x in ()", " in = list , n = 1 ",
        ):  # fmt: skip
            await side.ask("GET", side.path(CONFIG_MAPS), params={"labelSelector": selector})

    await both.compare(scenario, kind="*", feature="label selectors", rules=ECHO)


async def test_field_selectors(both: Both):
    async def scenario(side: Side) -> None:
        await some(side, 2)
        await side.ask(
            "POST", side.path(PODS), pod("p", {"nodeName": "nowhere", "restartPolicy": "Never"}), record=False
        )
        await side.ask("POST", side.path(JOBS), sample(JOBS, "j"), record=False)
        await side.ask("POST", side.path(EVENTS), sample(EVENTS, "e", side.namespace), record=False)
        await side.ask("POST", side.path(SECRETS), sample(SECRETS, "s"), record=False)
        for resource, selector in (
            (CONFIG_MAPS, "metadata.name=c0"), (CONFIG_MAPS, "metadata.name!=c0,metadata.name!=kube-root-ca.crt"),
            (CONFIG_MAPS, f"metadata.namespace={side.namespace},metadata.name==c1"), (CONFIG_MAPS, "data.a=1"), (CONFIG_MAPS, "metadata.name"),
            (CONFIG_MAPS, "metadata.name in (a)"), (CONFIG_MAPS, "="), (CONFIG_MAPS, "metadata.name=a,"), (CONFIG_MAPS, "metadata.labels.in=list"),
            (PODS, "spec.nodeName=nowhere"), (PODS, "status.phase=Pending"), (PODS, "status.phase!=Running,spec.restartPolicy=Never"),
            (PODS, "spec.schedulerName=default-scheduler"), (PODS, "spec.serviceAccountName=default"), (PODS, "status.podIP="), (PODS, "spec.hostNetwork=false"),
            (PODS, "status.nominatedNodeName="), (PODS, "spec.image=x"), (JOBS, "status.successful=0"), (JOBS, "status.successful=1"), (JOBS, "spec.suspend=true"),
            (EVENTS, "involvedObject.kind=Pod,reason=Started"), (EVENTS, "type=Warning"), (EVENTS, "source=kubelet"), (EVENTS, "involvedObject.name!=web"),
            (EVENTS, "reportingComponent="), (EVENTS, "count=1"), (SECRETS, "type=Opaque"), (SECRETS, "type=x"), (NODES, "spec.unschedulable=x"), (NODES, "spec.providerID=x"),
        ):  # fmt: skip
            await side.ask("GET", side.path(resource), params={"fieldSelector": selector})

    await both.compare(scenario, kind="*", feature="field selectors", rules=ECHO)


async def test_pages(both: Both):
    async def scenario(side: Side) -> Any:
        await some(side)
        only = {"labelSelector": "in=list"}
        path = side.path(CONFIG_MAPS)
        for params in (only, {}):
            token = ""
            for _ in range(9):
                more = {"continue": token} if token else {}
                page = await side.ask("GET", path, params={"limit": "2", **params, **more})
                token = page["body"]["metadata"].get("continue", "")
                if not token:
                    break
        first = await side.ask("GET", path, params={"limit": "2", **only})
        token = first["body"]["metadata"]["continue"]
        await side.ask("DELETE", path + "/c3", record=False)
        await side.ask("GET", path, params={"limit": "2", "continue": token, **only})  # of the time of the first page
        await side.ask("GET", path, params={"continue": token, **only})
        for odd in ("x", "eyJ2Ijoi", "bnVsbA"):
            await side.ask("GET", path, params={"continue": odd})
        await side.ask("GET", path, params={"continue": token, "resourceVersion": "7"})
        for limit in ("0", "-1", "x", "99999999999999999999"):
            await side.ask("GET", path, params={"limit": limit, **only})
        await side.ask("GET", path, params={"limit": "1", "resourceVersion": "0", **only})

    await both.compare(scenario, kind="*", feature="limit and continue", rules=ECHO)


async def test_versions_of_lists_and_gets(both: Both):
    async def scenario(side: Side) -> Any:
        versions = await some(side, 3)
        path, only = side.path(CONFIG_MAPS), {"labelSelector": "in=list"}
        for version in ("", "0", versions[0], versions[2], "1", "x", "-1", "99999999999"):
            for match in ("", "Exact", "NotOlderThan", "Odd"):
                if version == "1" and match == "Exact":
                    continue  # whether it is still known is a matter of compaction
                params = {**only, "resourceVersion": version, **({"resourceVersionMatch": match} if match else {})}
                await side.ask("GET", path, params=params)
                if version == versions[2] and match == "Exact":
                    await side.ask("GET", path, params={**params, "limit": "1"})
        for version in ("0", versions[2], "99999999999"):
            await side.ask("GET", path + "/c0", params={"resourceVersion": version})
        await side.ask("GET", path, params={"resourceVersionMatch": "Exact"})

    await both.compare(
        scenario, kind="*", feature="resourceVersion and resourceVersionMatch of get and list", rules=ECHO
    )


async def test_watches(both: Both):
    async def scenario(side: Side) -> Any:
        versions = await some(side, 2)
        path = side.path(CONFIG_MAPS)
        only = {"labelSelector": "in=list", "watch": "1", "timeoutSeconds": "1"}
        await side.ask("PATCH", path + "/c0", {"data": {"a": "2"}}, content_type=MERGE, record=False)
        await side.ask("PATCH", path + "/c1", {"metadata": {"labels": {"in": "no"}}}, content_type=MERGE, record=False)
        await side.ask(
            "PATCH", path + "/c1", {"metadata": {"labels": {"in": "list"}}}, content_type=MERGE, record=False
        )
        await side.ask("DELETE", path + "/c0", record=False)
        await side.ask("GET", path, params={**only, "resourceVersion": versions[0]})
        await side.ask("GET", path, params={**only, "resourceVersion": "0"})
        await side.ask("GET", path, params=only)
        await side.ask(
            "GET", path, params={**only, "resourceVersion": versions[0], "fieldSelector": "metadata.name=c0"}
        )
        initial = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "resourceVersionMatch": "NotOlderThan"}
        await side.ask("GET", path, params={**only, **initial})
        await side.ask("GET", path, params={**only, **initial, "resourceVersion": versions[1]})
        await side.ask("GET", path, params={**only, "sendInitialEvents": "true"})
        await side.ask("GET", path, params={**only, **initial, "allowWatchBookmarks": "false"})
        await side.ask("GET", path, params={**only, "resourceVersionMatch": "NotOlderThan"})
        await side.ask("GET", path, params={"sendInitialEvents": "true"})
        await side.ask("GET", path, params={**only, "timeoutSeconds": "x"})
        await side.ask("GET", path, params={**only, "limit": "1", "resourceVersion": versions[1]})
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        await side.ask("GET", path, params={**only, "resourceVersion": versions[0]}, headers=table)
        await side.ask(
            "GET",
            "/api/v1/watch/namespaces/" + side.namespace + "/configmaps",
            params={**only, "resourceVersion": versions[1]},
        )
        await side.ask("GET", path + "/c1", params={"watch": "1", "timeoutSeconds": "1"})
        return without_descriptions(side.transcript)

    await both.compare(
        scenario, kind="*", feature="watch: events, bookmarks, initial events", rules=[*ECHO, (r"^\d+[hms]$", "<age>")]
    )
