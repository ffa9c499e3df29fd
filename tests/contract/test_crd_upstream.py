"""The definitions of JobSet and Kueue themselves, read from the Go module cache, on both servers."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.both import Both, Object, Side
from tests.contract.test_crd_objects import DEFINITIONS, established

MODULES = ("sigs.k8s.io/jobset@v0.10.1", "sigs.k8s.io/kueue@v0.15.0")
FOLDER = Path("config/components/crd/bases")


@cache
def upstream() -> dict[str, Path]:
    """The files of the definitions by their names, of the modules that are in the cache."""
    go = shutil.which("go")
    if go is None:
        return {}
    found = subprocess.run([go, "env", "GOMODCACHE"], capture_output=True, text=True, check=True, timeout=60)
    cache_folder = Path(found.stdout.strip())
    return {file.stem: file for module in MODULES for file in sorted((cache_folder / module / FOLDER).glob("*.yaml"))}


def load(file: Path) -> Object:
    """Read a definition; its conversion webhook is the controller's own and left out."""
    body: Object = yaml.safe_load(file.read_text())
    body["spec"].pop("conversion", None)
    return body


def jobset(**spec: Any) -> Object:
    """A JobSet of two replicated jobs, which leaves nothing to the defaults of JobSet's webhook."""
    pod = {"containers": [{"name": "c", "image": "i", "resources": {}}], "restartPolicy": "Never"}
    template = {"metadata": {}, "spec": {"completionMode": "Indexed", "template": {"metadata": {}, "spec": pod}}}
    jobs = [{"name": "leader", "template": template}, {"name": "workers", "replicas": 2, "template": template}]
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "training"},
        "spec": {
            "replicatedJobs": jobs,
            "successPolicy": {"operator": "All"},
            "startupPolicy": {"startupPolicyOrder": "AnyOrder"},
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            **spec,
        },
    }


async def test_every_definition_installs(both: Both):
    if not upstream():
        pytest.skip("the modules of JobSet and Kueue are not in the Go module cache: `make control-plane` brings them")

    async def scenario(side: Side) -> Any:
        answers = []
        for file in upstream().values():
            body = load(file)
            found = await side.ask("POST", DEFINITIONS, body, params={"dryRun": "All"}, record=False)
            found["headers"].pop("Warning", None)  # the embedded server says what it leaves out
            answers.append(found)
        return answers

    await both.compare(scenario, kind="CustomResourceDefinition", feature="JobSet's and Kueue's own definitions")


async def test_jobsets_are_checked_by_their_own_schema(both: Both):
    file = upstream().get("jobset.x-k8s.io_jobsets")
    if file is None:
        pytest.skip("the module of JobSet is not in the Go module cache: `make control-plane` brings it")

    async def scenario(side: Side) -> None:
        assert file is not None
        body = load(file)
        await side.ask("POST", DEFINITIONS, body, record=False)
        await established(side, body["metadata"]["name"])
        path = f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{side.namespace}/jobsets"
        many = jobset()
        many["spec"]["replicatedJobs"][1]["template"]["spec"]["template"]["spec"]["containers"] = [
            {"image": "i", "resources": {}}
        ]
        ordered = jobset(startupPolicy={"startupPolicyOrder": "InOrder"})
        ordered["spec"]["replicatedJobs"][1]["dependsOn"] = [{"name": "leader", "status": "Ready"}]
        bodies = [
            jobset(),
            jobset(failurePolicy={"maxRestarts": "many"}),
            jobset(failurePolicy={"maxRestarts": 1, "restartStrategy": "Never"}),
            jobset(successPolicy={}),
            jobset(successPolicy={"operator": "Any", "targetReplicatedJobs": ["leader"]}),
            jobset(startupPolicy={"startupPolicyOrder": "Sometimes"}),
            jobset(ttlSecondsAfterFinished=-1),
            jobset(network={"subdomain": 1, "enableDNSHostnames": True, "publishNotReadyAddresses": True}),
            jobset(suspend=True, odd=1),
            many,
            ordered,  # what a rule in CEL forbids
        ]
        for each in bodies:
            await side.ask("POST", path, each, params={"dryRun": "All"})

    await both.compare(scenario, kind="JobSet", feature="JobSet's own schema")
