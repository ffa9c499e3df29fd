"""Objects of the right types but without sense, drawn from the schema of the served kinds."""

from __future__ import annotations

from hypothesis import strategies as st

from gke_notebook.sandbox.apiserver.schema import LIST, MAP

TEXTS = st.sampled_from(["", "a", "b", "A b", "x/y", "None", "ClientIP", "ExternalName", "Indexed", "Never", "1-2"])
BASES = {
    "string": TEXTS,
    "bool": st.booleans(),
    "int32": st.sampled_from([-1, 0, 1, 2, 80, 2**31 - 1]),
    "int64": st.sampled_from([-1, 0, 1, 30, 2**40]),
    "double": st.floats(0, 9),
    "bytes": st.sampled_from(["", "Yg=="]),
    "quantity": st.sampled_from(["0", "1", "500m", "-1", "1Gi", 2]),
    "time": st.just("2026-01-01T00:00:00Z"),
    "microtime": st.just("2026-01-01T00:00:00.000000Z"),
    "intorstring": st.sampled_from([0, 80, "http", ""]),
    "raw": st.just({}),
    "fieldsv1": st.just({}),
    "[]string": st.lists(TEXTS, max_size=2),
}


@st.composite
def structs(draw, type_, depth=0):
    """An object with fields of the right types and values without sense."""
    names = sorted(type_.fields)
    # The interesting things lie deep in the spec, so the way there is taken more often than not.
    chosen = set(draw(st.lists(st.sampled_from(names), max_size=4)))
    if depth < 7:
        chosen |= {"spec", "template", "containers", "metadata", "status"} & set(names)
    found = {}
    for name in sorted(chosen - {"apiVersion", "kind", "managedFields"}):
        field = type_.fields[name]
        if field.struct is not None and depth > 6:
            continue
        one = BASES[field.base] if field.struct is None else structs(field.struct, depth + 1)
        if field.container == LIST:
            found[name] = draw(st.lists(one, max_size=2))
        elif field.container == MAP:
            found[name] = draw(st.dictionaries(TEXTS, one, max_size=2))
        else:
            found[name] = draw(one)
    return found
