"""The store: revisions, lists, the past, and what a watch is told."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver import collection
from gke_notebook.sandbox.apiserver.kinds import find
from gke_notebook.sandbox.apiserver.store import Expired, Store, event_line, head

PODS = find("", "v1", "pods")
NODES = find("", "v1", "nodes")
assert PODS is not None
assert NODES is not None


def pod(name: str, namespace: str = "default", **spec: object) -> dict:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


def names(entries: list) -> list[str]:
    return [f"{entry.namespace}/{entry.name}" for entry in entries]


def test_revisions_rise_over_all_kinds_and_become_the_resource_version():
    store = Store.open(None)
    first = store.put(PODS, pod("a"))
    store.put(NODES, {"metadata": {"name": "n"}})
    second = store.put(PODS, pod("a", nodeName="n"))
    assert (first.revision, second.revision, store.revision) == (1, 3, 3)
    assert second.object()["metadata"]["resourceVersion"] == "3"
    assert first.object()["spec"] == {}, "an entry never changes"


def test_the_json_begins_with_kind_and_api_version():
    entry = Store.open(None).put(PODS, {"metadata": {"name": "a", "namespace": "b"}, "apiVersion": "x", "kind": "y"})
    assert entry.body.startswith(b'{"kind":"Pod","apiVersion":"v1","metadata":{')
    assert entry.body.count(b"apiVersion") == 1


def test_lists_are_in_the_order_of_their_keys():
    store = Store.open(None)
    for name, namespace in (("b", "y"), ("a", "y"), ("c", "x"), ("a-b", "y")):
        store.put(PODS, pod(name, namespace))
    assert names(store.of(PODS).all()) == ["x/c", "y/a", "y/a-b", "y/b"]
    assert names(store.of(PODS).all("y")) == ["y/a", "y/a-b", "y/b"]
    assert store.of(PODS).all("nowhere") == []
    store.delete(PODS, store.get(PODS, "y", "a-b"))
    assert names(store.of(PODS).all("y")) == ["y/a", "y/b"]
    assert len(store.of(PODS)) == 3


def test_a_deletion_has_a_revision_of_its_own_and_shows_the_last_state():
    store = Store.open(None)
    entry = store.put(PODS, pod("a", nodeName="n"))
    final = store.delete(PODS, entry)
    assert store.get(PODS, "default", "a") is None
    assert final.object() == {**entry.object(), "metadata": {**entry.object()["metadata"], "resourceVersion": "2"}}
    (event,) = store.of(PODS).since(store.of(PODS).position(1))
    assert (event.type, event.revision, event.entry.body) == ("DELETED", 2, final.body)


def test_events_follow_from_any_kept_revision():
    store = Store.open(None)
    pods = store.of(PODS)
    for number in range(3):
        store.put(PODS, pod(f"p{number}"))
    store.put(PODS, pod("p0", nodeName="n"))
    for revision in range(5):
        events = pods.since(pods.position(revision))
        assert [event.revision for event in events] == list(range(revision + 1, 5))
    assert [event.type for event in pods.since(0)] == ["ADDED", "ADDED", "ADDED", "MODIFIED"]
    assert pods.since(pods.position(99)) == []


def test_events_beyond_the_bound_are_dropped_and_old_revisions_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(collection, "_HISTORY_EVENTS", 8)
    store = Store.open(None)
    pods = store.of(PODS)
    slow = pods.position(0)
    for number in range(20):
        store.put(PODS, pod(f"p{number}"))
    assert len(pods.events) <= 8
    with pytest.raises(Expired):
        pods.position(1)
    with pytest.raises(Expired):
        pods.since(slow)
    with pytest.raises(Expired):
        pods.all_at(pods.oldest - 1)
    kept = pods.since(pods.position(pods.oldest))
    assert [event.revision for event in kept] == list(range(pods.oldest + 1, 21)), "none is missing after the oldest"
    assert len(pods.all_at(pods.oldest)) == pods.oldest


def test_events_beyond_the_bytes_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(collection, "_HISTORY_BYTES", 10_000)
    store = Store.open(None)
    for number in range(50):
        store.put(PODS, pod("a", image="x" * 1000, number=number))
    assert sum(len(event.entry.body) for event in store.of(PODS).events) <= 10_000


WRITES = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete"]), st.sampled_from(["x", "y"]), st.sampled_from("abc"), st.integers(0, 9)
    ),
    max_size=40,
)


@given(WRITES)
@settings(deadline=None)
def test_the_past_is_what_it_was(writes: list[tuple[str, str, str, int]]):
    store = Store.open(None)
    snapshots = {0: ([], [])}
    for what, namespace, name, value in writes:
        entry = store.get(PODS, namespace, name)
        if what == "put":
            store.put(PODS, pod(name, namespace, value=value))
        elif entry is not None:
            store.delete(PODS, entry)
        bodies = [each.body for each in store.of(PODS).all()], [each.body for each in store.of(PODS).all("x")]
        snapshots[store.revision] = bodies
    for revision, (everywhere, one) in snapshots.items():
        assert [each.body for each in store.of(PODS).all_at(revision)] == everywhere
        assert [each.body for each in store.of(PODS).all_at(revision, "x")] == one


@given(WRITES)
@settings(deadline=None)
def test_replaying_the_events_gives_the_state(writes: list[tuple[str, str, str, int]]):
    store = Store.open(None)
    for what, namespace, name, value in writes:
        entry = store.get(PODS, namespace, name)
        if what == "put":
            store.put(PODS, pod(name, namespace, value=value))
        elif entry is not None:
            store.delete(PODS, entry)
    replayed: dict = {}
    for event in store.of(PODS).since(0):
        assert (event.type == "ADDED") == (event.entry.key not in replayed)
        if event.deleted:
            del replayed[event.entry.key]
        else:
            replayed[event.entry.key] = event.entry.body
    assert replayed == {entry.key: entry.body for entry in store.of(PODS).all()}


async def test_every_waiter_is_woken_once():
    store = Store.open(None)
    pods = store.of(PODS)
    waiters = [pods.waiter() for _ in range(3)]
    pods.forget(waiters[2])
    store.put(PODS, pod("a"))
    assert [waiter.done() for waiter in waiters] == [True, True, False]
    store.put(NODES, {"metadata": {"name": "n"}})
    assert not pods.waiter().done()


def test_the_head_holds_what_selectors_ask_for_and_little_else():
    found = head(
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": "a", "namespace": "b", "labels": {"x": "y"}, "annotations": {"big": "z"}},
            "spec": {"nodeName": "n", "containers": [{}], "hostNetwork": True},
            "status": {"phase": "Running", "podIPs": [{"ip": "1.2.3.4"}], "message": "long"},
            "type": "Warning",
            "message": "long",
            "involvedObject": {"name": "o", "fieldPath": "f"},
        }
    )
    assert found == {
        "metadata": {"name": "a", "namespace": "b", "labels": {"x": "y"}},
        "spec": {"nodeName": "n", "hostNetwork": True},
        "status": {"phase": "Running", "podIPs": [{"ip": "1.2.3.4"}]},
        "type": "Warning",
        "involvedObject": {"name": "o", "fieldPath": "f"},
    }


def test_an_event_line_is_one_json_line():
    line = event_line("ADDED", b'{"a":"\\n"}')
    assert line.count(b"\n") == 1
    assert msgspec.json.decode(line) == {"type": "ADDED", "object": {"a": "\n"}}


def test_equal_parts_of_heads_are_one_object() -> None:
    def made(name: str, **spec: object) -> dict[str, object]:
        return {"metadata": {"name": name, "labels": {"app": "a"}}, "spec": {"nodeName": "n", "containers": [], **spec}}

    one, two = head(made("x")), head(made("y"))
    assert one["spec"] == {"nodeName": "n"}
    assert one["spec"] is two["spec"]
    assert one["metadata"]["labels"] is two["metadata"]["labels"]
    assert [one["metadata"]["name"], two["metadata"]["name"]] == ["x", "y"]
    # Equal to Python, and not to a selector.
    assert head(made("x", unschedulable=True))["spec"]["unschedulable"] is True
    assert head(made("x", unschedulable=1))["spec"]["unschedulable"] is not True
    assert head({"metadata": {}, "status": {"podIPs": [{"ip": "127.0.0.1"}]}})["status"] == {
        "podIPs": [{"ip": "127.0.0.1"}]
    }
