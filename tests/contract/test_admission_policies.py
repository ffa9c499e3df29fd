"""ValidatingAdmissionPolicies, on both servers."""

from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.cluster.client import APPLY_PATCH, MERGE_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, NAMESPACES, PODS, Resource
from tests.contract.both import Both, Side
from tests.contract.policies import BINDINGS, POLICIES, Object, applied, binding, policy, rule, says
from tests.contract.samples import NO_CONTROLLER

KIND = "ValidatingAdmissionPolicy"


def config(name: str, labels: Object | None = None, **data: str) -> Object:
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod(name: str, image: str = "good.io/a:1", **spec: Any) -> Object:
    container: Object = {"name": "main", "image": image, **spec.pop("container", {})}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"automountServiceAccountToken": False, "schedulerName": "none", "containers": [container], **spec},
    }  # fmt: skip


def job(name: str, labels: Object | None = None, gpus: str = "", **spec: Any) -> Object:
    limits = {"resources": {"limits": {"nvidia.com/gpu": gpus}}} if gpus else {}
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "good.io/a:1", **limits}]}}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels or {}},
        "spec": {"managedBy": NO_CONTROLLER, "template": template, **spec},
    }  # fmt: skip


async def test_a_policy_and_a_binding_live_as_other_objects_do(both: Both):
    async def scenario(side: Side) -> Any:
        name = f"life-{side.namespace}"
        body = policy(
            name, {"expression": "object.data.a == 'x'", "message": "no x", "reason": "Forbidden"},
            variables=[{"name": "v", "expression": "object.data"}],
            paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        )  # fmt: skip
        bound = binding(name, side, "Warn", "Audit", paramRef={"name": "p", "parameterNotFoundAction": "Allow"})
        try:
            await side.ask("POST", side.path(POLICIES), body)
            await side.ask("POST", side.path(BINDINGS), bound)
            await side.ask("POST", side.path(BINDINGS), bound)
            for _ in range(600):
                found = await side.client.get(POLICIES, name)
                if (found.get("status") or {}).get("observedGeneration") == 1:
                    break
            found["metadata"]["managedFields"] = None  # when the controller's entry comes is a matter of time
            side.transcript.append(found)
            found["spec"]["validations"][0]["message"] = "no y"
            del found["metadata"]["managedFields"]
            changed = await side.client.replace(POLICIES, found)
            side.transcript.append([changed["metadata"]["generation"], changed["spec"]])
            await side.ask("PUT", side.path(POLICIES, name), body)
            await side.ask("PATCH", side.path(BINDINGS, name), {"spec": {"validationActions": ["Deny"]}},
                           content_type=MERGE_PATCH)  # fmt: skip
            await side.ask("PATCH", side.path(BINDINGS, name), {**bound, "spec": {"policyName": name}},
                           content_type=APPLY_PATCH, params={"fieldManager": "ada", "force": "true"})  # fmt: skip
            for resource in (POLICIES, BINDINGS):
                table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
                shown = await side.ask("GET", side.path(resource, name), headers=table, record=False)
                columns = [[each["name"], each["type"]] for each in shown["body"]["columnDefinitions"]]
                side.transcript.append([columns, shown["body"]["rows"][0]["cells"][:3]])
        finally:
            await side.ask("DELETE", side.path(BINDINGS, name))
            await side.ask("DELETE", side.path(POLICIES, name))

    await both.compare(scenario, kind=KIND, feature="create, status, replace, patch, apply, delete")


def wrong_policies() -> list[tuple[str, Object]]:
    ok = {"expression": "true"}
    no_rules = policy("p", ok)
    no_rules["spec"]["matchConstraints"] = {}
    nothing = policy("p")
    unmatched = policy("p", ok)
    del unmatched["spec"]["matchConstraints"]
    return [
        ("no type", policy("p", "object.data")),
        ("undeclared", policy("p", "objekt.data.a == 'x' && object.b")),
        ("undefined field", policy("p", "request.nope == 'x'")),
        ("no params", policy("p", "params.data.a == 'x'")),
        ("overload", policy("p", "object.metadata.name.startsWith(1) || 1 + 'a' == 'b'")),
        ("two lines", policy("p", "true &&\n  foo")),
        ("not bool", policy("p", "'a'")),
        ("message not a string", policy("p", {"expression": "true", "messageExpression": "1"})),
        ("message in lines", policy("p", {"expression": "true", "message": "a\nb"})),
        ("reason", policy("p", {"expression": "true", "reason": "Nope"})),
        ("empty", policy("p", {"expression": " "})),
        ("no rules", no_rules),
        ("no validations", nothing),
        ("no constraints", unmatched),
        ("operations", policy("p", ok, rules=[rule("pods", operations=("NOPE", "*"))])),
        ("resources", policy("p", ok, rules=[rule("pods", "pods/*", "pods/status", "*/*", scope="Some")])),
        ("nothing in a rule", policy("p", ok, rules=[{}])),
        ("selector", policy("p", ok, constraints={"objectSelector": {"matchLabels": {"a b": "c d"}}})),
        ("match policy", policy("p", ok, constraints={"matchPolicy": "Nearly"})),
        ("failure policy", policy("p", ok, failurePolicy="Maybe")),
        ("param kind", policy("p", ok, paramKind={"apiVersion": "a/b/c", "kind": "A B"})),
        ("param kind is empty", policy("p", ok, paramKind={})),
        (
            "conditions",
            policy("p", ok, matchConditions=[{"name": "a", "expression": "1"}, {"name": "a", "expression": ""}]),
        ),
        ("variables", policy("p", "variables.b", variables=[{"name": "a-b", "expression": "1"}])),
        ("later variable", policy("p", "variables.a", variables=[
            {"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "true"}])),
        ("type of a variable", policy("p", "variables.a", variables=[{"name": "a", "expression": "'x'"}])),
        ("annotations", policy("p", ok, auditAnnotations=[
            {"key": "a", "valueExpression": "1"}, {"key": "a", "valueExpression": ""}])),
        ("format", policy("p", "'%d'.format(['a']) == ''")),
        ("duration", policy("p", "duration('x') > duration('1s')")),
        ("mixed list", policy("p", "object.data.a in ['a', 1]")),
        ("not a list", policy("p", "'abc'.all(c, c == 'a')")),
        ("bind", policy("p", "cel.bind(v, object.data.a, v == 'y')")),
    ]  # fmt: skip


async def test_policies_that_make_no_sense_are_refused(both: Both):
    async def scenario(side: Side) -> Any:
        said = []
        for what, body in wrong_policies():
            answer = await side.ask("POST", side.path(POLICIES), body, params={"dryRun": "All"}, record=False)
            assert answer["status"] == 422, (what, answer)
            said.append([what, says(answer)])
        return said

    await both.compare(scenario, kind=KIND, feature="refused: what does not compile, or makes no sense")


async def test_bindings_that_make_no_sense_are_refused(both: Both):
    async def scenario(side: Side) -> Any:
        said = []
        ref = {"parameterNotFoundAction": "Deny"}
        for spec in (
            {"policyName": ""},
            {"policyName": "A b"},
            {"validationActions": []},
            {"validationActions": ["Deny", "Warn", "Deny", "Nope"]},
            {"paramRef": {}},
            {"paramRef": {"name": "a", "selector": {}, **ref}},
            {"paramRef": {"name": "a/b", "parameterNotFoundAction": "Never"}},
            {"matchResources": {"resourceRules": [{}], "matchPolicy": "x"}},
        ):
            body = binding("b", side)
            body["spec"].update(spec)
            said.append(says(await side.ask("POST", side.path(BINDINGS), body, params={"dryRun": "All"}, record=False)))
        return said

    await both.compare(scenario, kind="ValidatingAdmissionPolicyBinding", feature="refused")


async def test_guardrails_of_a_team_hold(both: Both):
    async def scenario(side: Side) -> Any:
        n = side.namespace
        batch = [rule("jobs", group="batch")]
        gpus = (
            "object.spec.template.spec.containers.all(c, !has(c.resources) || !has(c.resources.limits) || "
            "!('nvidia.com/gpu' in c.resources.limits) || "
            "quantity(c.resources.limits['nvidia.com/gpu']).compareTo(quantity('4')) <= 0)"
        )
        policies = [
            policy(f"labels-{n}", {
                "expression": "has(object.metadata.labels) && 'team' in object.metadata.labels",
                "message": "every job needs a label team", "reason": "Forbidden"}, rules=batch),
            policy(f"gpus-{n}", {"expression": gpus, "messageExpression": "'at most 4 GPUs, ' + object.metadata.name"},
                   rules=batch),
            policy(f"images-{n}", {
                "expression": "variables.images.all(i, i.startsWith('good.io/'))",
                "messageExpression": "'images: ' + variables.images.filter(i, !i.startsWith('good.io/')).join(', ')"},
                variables=[
                    {"name": "containers", "expression":
                     "object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : [])"},
                    {"name": "images", "expression": "variables.containers.map(c, c.image)"}],
                rules=[rule("pods")]),
            policy(f"host-{n}",
                   "!has(object.spec.hostNetwork) || !object.spec.hostNetwork",
                   {"expression": "object.spec.containers.all(c, !has(c.securityContext) || "
                    "!has(c.securityContext.privileged) || !c.securityContext.privileged)",
                    "message": "privileged", "reason": "RequestEntityTooLarge"},
                   rules=[rule("pods", operations=("CREATE",))]),
            policy(f"fixed-{n}", {"expression": "object.data.?fixed == oldObject.data.?fixed", "message": "fixed"},
                   rules=[rule("configmaps", operations=("UPDATE",))],
                   matchConditions=[{"name": "has-data", "expression": "has(object.data) && has(oldObject.data)"}]),
            policy(f"keep-{n}", {
                "expression": "!has(oldObject.metadata.labels) || !('keep' in oldObject.metadata.labels)",
                "messageExpression": "request.operation + ' of ' + request.name + ' by ' + string(request.dryRun)"},
                rules=[rule("configmaps", operations=("DELETE",))]),
            policy(f"warn-{n}", {"expression": "!('old' in object.data)", "message": 'say "new"'},
                   "object.data.size() < 3", constraints={"objectSelector": {"matchLabels": {"warn": "yes"}}}),
        ]  # fmt: skip
        bindings = [binding(each["metadata"]["name"], side) for each in policies]
        bindings[-1]["spec"]["validationActions"] = ["Warn", "Audit"]
        probes = {
            f"labels-{n}": (JOBS, job("probe")),
            f"gpus-{n}": (JOBS, job("probe", {"team": "a"}, "5")),
            f"images-{n}": (PODS, pod("probe", "bad.io/x")),
            f"host-{n}": (PODS, pod("probe", hostNetwork=True)),
            f"warn-{n}": (CONFIG_MAPS, config("probe", {"warn": "yes"}, old="1")),
        }
        said = []

        async def ask(method: str, path: str, body: object = None, **more: Any) -> None:
            said.append(says(await side.ask(method, path, body, record=False, **more)))

        async with applied(side, *policies, *bindings, probes=probes):
            for body in (
                job("a"), job("b", {"team": "x"}), job("c", {"team": "x"}, "4"), job("d", {"team": "x"}, "8"),
                {**job("e"), "metadata": {"generateName": "e-"}},
            ):  # fmt: skip
                await ask("POST", side.path(JOBS), body)
            await ask("PATCH", side.path(JOBS, "b"), {"metadata": {"labels": {"team": None}}}, content_type=MERGE_PATCH)
            for body in (
                pod("a"), pod("b", "bad.io/x"), pod("c", initContainers=[{"name": "i", "image": "bad.io/y"}]),
                pod("d", hostNetwork=True), pod("e", container={"securityContext": {"privileged": True}}),
            ):  # fmt: skip
                await ask("POST", side.path(PODS), body)
            maps = side.path(CONFIG_MAPS)
            await ask("POST", maps, config("m", {"keep": "yes"}, fixed="1", free="1"))
            # The policies about updates and deletions have no probe of their own.
            for _ in range(600):
                answer = await side.ask("DELETE", f"{maps}/m", params={"dryRun": "All"}, record=False)
                if answer["status"] != 200:
                    break
            for _ in range(600):
                changed = config("m", fixed="9")
                answer = await side.ask("PUT", f"{maps}/m", changed, params={"dryRun": "All"}, record=False)
                if answer["status"] != 200:
                    break
            await ask("PUT", f"{maps}/m", config("m", {"keep": "yes"}, fixed="1", free="2"))
            await ask("PUT", f"{maps}/m", config("m", {"keep": "yes"}, fixed="2"))
            await ask("PATCH", f"{maps}/m", {"data": {"fixed": None}}, content_type=MERGE_PATCH)
            await ask(
                "PATCH", f"{maps}/m", {"data": {"fixed": None}}, content_type=MERGE_PATCH, params={"dryRun": "All"}
            )
            await ask("DELETE", f"{maps}/m")
            await ask("PATCH", f"{maps}/m", {"metadata": {"labels": None}}, content_type=MERGE_PATCH)
            await ask("DELETE", f"{maps}/m")
            await ask("POST", maps, config("w", {"warn": "yes"}, old="1", b="2", c="3"))
            await ask("POST", maps, config("v", {"warn": "no"}, old="1"))
        return said

    await both.compare(
        scenario, kind=KIND, feature="guardrails: labels, GPUs, images, host, immutability, deletion",
        rules=[(r"\be-[a-z0-9]{5}\b", "e-<generated>")],
    )  # fmt: skip


async def test_parameters_come_from_where_the_binding_says(both: Both):
    async def scenario(side: Side) -> Any:
        n = side.namespace
        limit = {"expression": "object.data.size() <= int(params.data.most)",
                 "messageExpression": "'at most ' + params.data.most"}  # fmt: skip
        kind = {"apiVersion": "v1", "kind": "ConfigMap"}
        rules = [rule("configmaps", operations=("CREATE",))]

        def case(name: str) -> Object:
            return {"matchExpressions": [{"key": "case", "operator": "In", "values": [name]}]}

        def bound(case_of: str, of: str = f"params-{n}", **ref: Any) -> Object:
            found = binding(f"{case_of}-{n}", side, policy_name=of, resources={"objectSelector": case(case_of)})
            if ref:
                found["spec"]["paramRef"] = {"parameterNotFoundAction": "Deny", **ref}
            return found

        for name, most in (("one", "1"), ("two", "2")):
            await side.client.create(CONFIG_MAPS, config(name, {"limits": "yes"}, most=most), n)
        policies = [
            policy(f"params-{n}", limit, paramKind=kind, rules=rules),
            policy(f"unknown-{n}", "true", paramKind={"apiVersion": "example.com/v1", "kind": "Nope"}, rules=rules,
                   constraints={"objectSelector": case("unknown")}),
            policy(f"ignored-{n}", "params.data.nope == 'x'", paramKind=kind, failurePolicy="Ignore", rules=rules),
            policy(f"failing-{n}", "object.data.nope == 'x'", rules=rules),
            policy(f"conditions-{n}", "false", rules=rules, matchConditions=[
                {"name": "fails", "expression": "object.data.nope == 'x'"},
                {"name": "true", "expression": "true"}]),
        ]  # fmt: skip
        bindings = [
            bound("named", name="one"),
            bound("selected", selector={"matchLabels": {"limits": "yes"}}),
            bound("missing", name="nope"),
            bound("allowed", name="nope", parameterNotFoundAction="Allow"),
            bound("none"),
            bound("unknown", f"unknown-{n}", name="x"),
            bound("ignored", f"ignored-{n}", name="one"),
            bound("failing", f"failing-{n}"),
            bound("conditions", f"conditions-{n}"),
        ]
        probes = {
            f"params-{n}": (CONFIG_MAPS, config("probe", {"case": "named"}, a="1", b="2")),
            f"unknown-{n}": (CONFIG_MAPS, config("probe", {"case": "unknown"}, a="1")),
            f"failing-{n}": (CONFIG_MAPS, config("probe", {"case": "failing"}, a="1")),
            f"conditions-{n}": (CONFIG_MAPS, config("probe", {"case": "conditions"}, a="1")),
        }
        said = []
        async with applied(side, *policies, *bindings, probes=probes):
            for case_name in ("named", "selected", "missing", "allowed", "none", "unknown", "ignored", "failing",
                              "conditions", "other"):  # fmt: skip
                for data in ({"a": "1"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"}):
                    body = config(f"{case_name}-{len(data)}", {"case": case_name}, **data)
                    answer = await side.ask("POST", side.path(CONFIG_MAPS), body, record=False)
                    said.append([case_name, len(data), *says(answer)])
        return said

    await both.compare(
        scenario, kind=KIND, feature="parameters by name and selector, failurePolicy, matchConditions",
        rules=[(r"at most [12]", "at most <limit>")],  # which of several parameters denies first is not ordered
    )  # fmt: skip


async def test_what_a_policy_is_about_is_what_its_rules_say(both: Both):
    async def scenario(side: Side) -> Any:
        n = side.namespace
        policies = [
            policy(f"status-{n}", {"expression": "request.subResource != 'status'", "message": "status"},
                   rules=[rule("jobs/status", group="batch", operations=("UPDATE",))]),
            policy(f"names-{n}", {"expression": "false", "message": "names"},
                   rules=[rule("configmaps", resourceNames=["special", "probe"])]),
            policy(f"but-{n}", {"expression": "false", "message": "but"}, rules=[rule("*")], constraints={
                "excludeResourceRules": [
                    rule("configmaps"), rule("namespaces"), rule("pods", operations=("CREATE",), scope="Namespaced")]}),
            policy(f"cluster-{n}", {"expression": "false", "message": "cluster"},
                   rules=[rule("secrets", scope="Cluster")]),
            policy(f"spaces-{n}", {"expression": "!('bad' in object.metadata.labels)",
                                   "messageExpression": "'namespace ' + object.metadata.name"},
                   rules=[rule("namespaces")]),
        ]  # fmt: skip
        bindings = [binding(each["metadata"]["name"], side) for each in policies]
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
        probes = {
            f"names-{n}": (CONFIG_MAPS, config("probe")),
            f"but-{n}": (Resource("", "v1", "secrets", "Secret"), secret),
        }
        said = []

        async def ask(method: str, path: str, body: object = None, **more: Any) -> None:
            said.append(says(await side.ask(method, path, body, record=False, **more)))

        async with applied(side, *policies, *bindings, probes=probes):
            await ask("POST", side.path(CONFIG_MAPS), config("special"))
            await ask("POST", side.path(CONFIG_MAPS), config("plain"))
            await ask("POST", side.path(CONFIG_MAPS), {**config("x"), "metadata": {"generateName": "special"}})
            await ask("POST", side.path(PODS), pod("a"))
            await ask("PATCH", side.path(PODS, "a"), {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE_PATCH)
            await side.client.create(JOBS, job("j"), n)
            state = {"status": {"active": 1}}
            for _ in range(600):
                answer = await side.ask("PATCH", side.path(JOBS, "j", "status"), state, content_type=MERGE_PATCH,
                                        params={"dryRun": "All"}, record=False)  # fmt: skip
                if answer["status"] != 200:
                    break
            await ask("PATCH", side.path(JOBS, "j", "status"), state, content_type=MERGE_PATCH)
            await ask("PATCH", side.path(JOBS, "j"), {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE_PATCH)
            space = NAMESPACES.path(None, n)
            for labels in ({"bad": "yes"}, {"good": "yes"}):
                await ask("PATCH", space, {"metadata": {"labels": labels}}, content_type=MERGE_PATCH,
                          params={"dryRun": "All"})  # fmt: skip
        return said

    await both.compare(scenario, kind=KIND, feature="resources, subresources, names, exclusions, scope, namespaces")


async def test_an_expression_that_costs_too_much_is_stopped(both: Both):
    async def scenario(side: Side) -> Any:
        n = side.namespace
        hundred = f"[{', '.join(map(str, range(100)))}]"
        text = "true"
        for name in "abcd":
            text = f"variables.list.all({name}, {text})"
        costly = policy(f"costly-{n}", text, variables=[{"name": "list", "expression": hundred}],
                        rules=[rule("configmaps", operations=("CREATE",))])  # fmt: skip
        probes = {f"costly-{n}": (CONFIG_MAPS, config("probe"))}
        async with applied(side, costly, binding(f"costly-{n}", side), probes=probes):
            return says(await side.ask("POST", side.path(CONFIG_MAPS), config("x"), record=False))

    await both.compare(scenario, kind=KIND, feature="expressions that cost too much")


async def test_the_authorizer_is_refused_and_not_pretended(both: Both):
    body = policy("authorizer", "authorizer.path('/healthz').check('get').allowed()")

    async def scenario(side: Side) -> Any:
        answer = await side.ask("POST", side.path(POLICIES), body, params={"dryRun": "All"})
        assert answer["status"] == 201

    async def refused(side: Side) -> Any:
        answer = await side.ask("POST", side.path(POLICIES), body, params={"dryRun": "All"})
        assert answer["status"] == 422
        assert "the authorizer is not available on this server" in answer["body"]["message"]

    await both.only_real(scenario, refused, kind=KIND, feature="the variable authorizer")


EXPRESSIONS = """
has(object.data.a) && object.data.a == 'x'
object.data.missing == 'x'
object.missing.more == 'x'
object.metadata.name.foo == 'x'
object.data['nope'] == 'x'
object.data.?nope.orValue('d') == 'd'
object.?data.?a.orValue('d') == 'x'
has(object.metadata.name.foo)
object.data.list.split(',')[7] == 'x'
object.data.list.split(',')[-1] == 'x'
object.data.list.split(',').all(x, x != 'b')
object.data.exists(k, k == 'a')
object.data.all(k, object.data[k] != '')
object.data.a + 1 == 'x'
object.data.a + 'y' == 'xy'
object.data.n < 3
int(object.data.n) < 3
int(object.data.a) < 3
double(object.data.a) < 3.0
bool(object.data.a)
duration(object.data.a) < duration('1s')
timestamp(object.data.a) < timestamp('2020-01-01T00:00:00Z')
1 / (int(object.data.n) - 5) == 0
5 % (int(object.data.n) - 5) == 0
9223372036854775807 + int(object.data.n) > 0
uint(object.data.n) - 7u > 0u
dyn(object.data.n) == 5
dyn(5) == 5.0
object.data.a == 1
object.data == {'a': 'x'}
object.missing || true
object.missing && false
object.missing || false
!object.data.a
object.data.a ? true : false
object.data.a.foo(1)
object.data.a.startsWith(1)
object.data.a.matches('[')
semver(object.data.a).major() == 1
'%d'.format(['a']) == '1'
cel.bind(v, object.data.a, v == 'y')
[1, 2, 3].exists_one(x, x > 2)
object.data.list.split(',').map(x, x + '!') == ['a!', 'b!', 'c!']
object.data.list.split(',').filter(x, x != 'a').size() == 2
object.data.list.split(',').exists(x, x / 2 == 1)
quantity(object.data.q).isGreaterThan(quantity('1Gi'))
quantity(object.data.a).isGreaterThan(quantity('1Gi'))
quantity(object.data.q).asInteger() == 2147483648
quantity('1.5').asInteger() == 1
isQuantity(object.data.a)
ip(object.data.a).family() == 4
cidr('10.0.0.0/8').containsIP(object.data.ip)
cidr(object.data.a).prefixLength() == 4
url(object.data.url).getHost() == 'a.b:80'
url(object.data.a).getHost() == 'a.b:80'
object.data.a.matches(object.data.bad)
object.data.a.find('x+') == 'x'
object.data.list.findAll('[a-c]') == ['a', 'b', 'c']
object.data.a.charAt(5) == 'x'
object.data.a.substring(2) == 'x'
object.data.a.lastIndexOf('x') == 0
object.data.a.upperAscii() == 'X'
' x '.trim() == 'x'
['a', 'b'].join('-') == 'a-b'
'%s-%s'.format([object.data.a, 'b']) == 'x-b'
'%d'.format([1]) == '1'
sets.contains(['a', 'b'], [object.data.a])
[3, 1].isSorted()
[3, 1].sum() == 4
[3, 1].max() == 3
[1].filter(x, x > 2).min() == 1
[3, 1].indexOf(1) == 1
semver('1.2.3').compareTo(semver('1.10.0')) == -1
format.dns1123Label().validate(object.data.bad).hasValue()
optional.none().hasValue()
optional.of(1).value() == 2
object.metadata.labels.exists(k, k == 'team')
namespaceObject.metadata.name == 'default'
namespaceObject.metadata.labels['nope'] == 'x'
request.operation == 'UPDATE'
request.name == 'y'
has(request.subResource)
request.userInfo.username == 'nobody'
request.kind.kind == 'ConfigMap'
request.resource.resource == 'configmaps' && request.resource.group == ''
oldObject == null
oldObject.data.a == 'x'
type(object.data.a) == string
type(object.data) == map
string(1.0) == '1'
string(timestamp('2020-01-01T00:00:00Z')) == '2020-01-01T00:00:00Z'
string(duration('90m')) == '5400s'
timestamp('2020-01-01T00:00:00Z').getFullYear() == 2020
timestamp('2020-01-01T00:00:00Z') + duration('1h') == timestamp('2020-01-01T01:00:00Z')
b'abc' == bytes('abc')
size('ä') == 1
'a' in object.data
object.data.a in ['x', 'y']
[[1], [2]].all(x, x.size() == 1) && {'a': 1}.a == 1
{'a': 1}['b'] == 1
[1, 2].all(i, v, v > i)
{'a': 1}.transformList(k, v, k + string(v)) == ['a1']
object.data.map(k, k).size() == 99
1 < 2.5 && 2u < 3
-5 / 2 == -2 && -5 % 2 == -1
null == object.missing2
object.data.a.size() == 'x'
object.data.missing.orValue('x') == 'x'
'\\u0041\\x42\\103' == 'ABC' && r'\\n' == '\\\\n'
object.spec.containers[0].image == 'x'
object.data.list.split(',').sum() == 1
object.data.sum() == 1
object.data.all(k, v, v != '')
""".strip().splitlines()


@pytest.mark.parametrize("start", range(0, len(EXPRESSIONS), 9))
async def test_expressions_come_to_the_same(both: Both, start: int):
    async def scenario(side: Side) -> Any:
        n = f"{side.namespace}-{start}"
        rules = [rule("configmaps", operations=("CREATE",))]
        said, good = [], []
        for text in EXPRESSIONS[start : start + 9]:
            alone = policy("p", text, rules=rules)
            answer = await side.ask("POST", side.path(POLICIES), alone, params={"dryRun": "All"}, record=False)
            said.append(says(answer))
            good += [text] if answer["status"] == 201 else []
        assert good
        body = policy(n, "false", *good, rules=rules)
        data = {
            "a": "x", "n": "5", "list": "a,b,c", "q": "2Gi", "ip": "10.1.1.1", "url": "https://a.b:80/c", "bad": "A[",
        }  # fmt: skip
        probes = {n: (CONFIG_MAPS, config("x", **data))}
        async with applied(side, body, binding(n, side, "Warn"), probes=probes):
            said.append(says(await side.ask("POST", side.path(CONFIG_MAPS), config("x", **data), record=False)))
        return said

    await both.compare(scenario, kind=KIND, feature="the expression language")
