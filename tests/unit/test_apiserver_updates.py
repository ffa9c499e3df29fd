"""Validation of changed objects."""

from __future__ import annotations

from tests.support.prepared import changed, job, made, pod


def test_a_job_may_be_scaled_suspended_and_labelled():
    old, _ = made("Job", job())

    def change(new):
        new["spec"].update(parallelism=5, suspend=True, activeDeadlineSeconds=9, backoffLimit=1)
        new["metadata"]["labels"]["a"] = "b"

    assert changed("Job", old, change)["spec"]["parallelism"] == 5


def test_the_rest_of_a_job_is_immutable():
    old, _ = made("Job", job())
    (found,) = changed("Job", old, lambda new: new["spec"].update(completions=5))
    assert found == "spec.completions: Invalid value: 5: field is immutable"
    (found,) = changed("Job", old, lambda new: new["spec"]["template"]["spec"]["containers"][0].update(image="j"))
    assert found.startswith("spec.template: Invalid value: {")
    assert found.endswith(": field is immutable")
    assert any(
        "completionMode" in each
        for each in changed("Job", old, lambda new: new["spec"].update(completionMode="Indexed"))
    )


def test_an_indexed_job_is_elastic_in_tandem():
    old, _ = made("Job", job(completionMode="Indexed", completions=4, parallelism=4))
    assert changed("Job", old, lambda new: new["spec"].update(completions=5)) == [
        "spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"
    ]
    assert changed("Job", old, lambda new: new["spec"].update(completions=5, parallelism=5))["spec"]["completions"] == 5


def test_where_a_suspended_job_will_run_may_still_change():
    old, _ = made("Job", job(suspend=True))

    def change(new):
        new["spec"]["template"]["spec"]["nodeSelector"] = {"a": "b"}

    assert changed("Job", old, change)["spec"]["template"]["spec"]["nodeSelector"] == {"a": "b"}
    running, _ = made("Job", job())
    assert "field is immutable" in changed("Job", running, change)[0]


def test_a_manifest_without_the_generated_selector_does_not_replace_a_job():
    old, _ = made("Job", job())
    found = changed("Job", old, lambda new: new.update(spec=job()["spec"]))
    assert "spec.selector: Required value" in found
    assert any(each.startswith("spec.template: Invalid value") for each in found)


def test_the_status_of_a_job_must_make_sense():
    old, _ = made("Job", job())

    def conditions(*kinds, **status):
        return lambda new: new.update(
            status={"conditions": [{"type": each, "status": "True"} for each in kinds], **status}
        )

    found = changed("Job", old, conditions("Complete"), "status")
    assert "status.completionTime: Required value: completionTime is required for Complete jobs" in found
    assert any("without the SuccessCriteriaMet=true condition" in each for each in found)
    times = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z"}
    done = changed("Job", old, conditions("SuccessCriteriaMet", "Complete", **times), "status")
    assert any(
        "cannot disable the terminal Complete=True" in each for each in changed("Job", done, conditions(), "status")
    )


def test_only_little_of_a_pod_may_change():
    old, _ = made("Pod", pod())
    assert isinstance(changed("Pod", old, lambda new: new["spec"]["containers"][0].update(image="j")), dict)
    assert isinstance(changed("Pod", old, lambda new: new["spec"].update(activeDeadlineSeconds=5)), dict)
    toleration = {"key": "a", "operator": "Exists"}
    assert isinstance(changed("Pod", old, lambda new: new["spec"].update(tolerations=[toleration])), dict)
    (found,) = changed("Pod", old, lambda new: new["spec"].update(nodeName="n"))
    assert found.startswith("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`")
    (found,) = changed("Pod", old, lambda new: new["spec"]["containers"].append({"name": "b", "image": "i", **{
        key: old["spec"]["containers"][0][key] for key in ("imagePullPolicy", "terminationMessagePolicy")
    }}))  # fmt: skip
    assert found == "spec.containers: Forbidden: pod updates may not add or remove containers"


def test_an_ended_container_stays_ended():
    old, _ = made("Pod", {**pod(), "spec": {**pod()["spec"], "restartPolicy": "Never"}})
    old["status"]["containerStatuses"] = [{"name": "a", "state": {"terminated": {"exitCode": 1}}}]

    def restart(new):
        new["status"]["containerStatuses"][0]["state"] = {"running": {}}

    assert changed("Pod", old, restart, "status") == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]
    old["spec"]["restartPolicy"] = "OnFailure"
    assert isinstance(changed("Pod", old, restart, "status"), dict)


def test_metadata_is_immutable():
    old, _ = made("ConfigMap", {"metadata": {"name": "a"}})
    for key in ("name", "uid", "creationTimestamp"):
        found = changed("ConfigMap", old, lambda new, key=key: new["metadata"].update({key: "other"}))
        assert found == [f'metadata.{key}: Invalid value: "other": field is immutable']


def test_what_is_marked_immutable_stays():
    old, _ = made("ConfigMap", {"metadata": {"name": "a"}, "data": {"a": "b"}, "immutable": True})
    found = changed("ConfigMap", old, lambda new: new.update(data={}))
    assert found == ["data: Forbidden: field is immutable when `immutable` is set"]
    found = changed("ConfigMap", old, lambda new: new.pop("immutable"))
    assert found == ["immutable: Forbidden: field is immutable when `immutable` is set"]


def test_the_address_of_a_service_stays():
    old, _ = made("Service", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    found = changed("Service", old, lambda new: new["spec"].update(clusterIP="1.2.3.4"))
    assert found == ['spec.clusterIPs[0]: Invalid value: ["1.2.3.4"]: may not change once set']

    def forget(new):
        del new["spec"]["clusterIP"], new["spec"]["clusterIPs"]

    assert changed("Service", old, forget)["spec"]["clusterIP"] == old["spec"]["clusterIP"]


def test_no_finalizer_is_added_to_what_is_being_deleted():
    old, _ = made("ConfigMap", {"metadata": {"name": "a"}})
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = changed("ConfigMap", old, lambda new: new["metadata"].update(finalizers=["a.b/c"]))
    assert len(found) == 2  # the real server's checks find it twice
    assert all("no new finalizers can be added if the object is being deleted" in each for each in found)
