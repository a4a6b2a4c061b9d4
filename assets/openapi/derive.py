#!/usr/bin/env python3
"""Derives schemas.json.gz from the OpenAPI documents that Kubernetes publishes.

    go mod download k8s.io/kubernetes@v1.33.5
    ./derive.py "$(go env GOMODCACHE)/k8s.io/kubernetes@v1.33.5/api/openapi-spec/v3"

The documents are Kubernetes' (Apache License 2.0). Kept is what an object of
one of the kinds below is made of: fields, types, descriptions, and how lists
and maps merge. Dropped are paths, lists and what nothing refers to.
"""

import gzip
import json
import pathlib
import sys

# Every kind of these groups, but for lists of objects.
GROUPS = {
    ("", "v1"),
    ("apps", "v1"),
    ("apiextensions.k8s.io", "v1"),
    ("authentication.k8s.io", "v1"),
    ("authorization.k8s.io", "v1"),
    ("autoscaling", "v1"),
    ("batch", "v1"),
    ("coordination.k8s.io", "v1"),
    ("discovery.k8s.io", "v1"),
    ("events.k8s.io", "v1"),
    ("networking.k8s.io", "v1"),
    ("policy", "v1"),
    ("rbac.authorization.k8s.io", "v1"),
    ("scheduling.k8s.io", "v1"),
    ("storage.k8s.io", "v1"),
}
REFERENCE = "#/components/schemas/"


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            # A schema of schemas has a field of that name.
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(REFERENCE)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def main():
    source = pathlib.Path(sys.argv[1])
    known = {}
    for document in sorted(source.glob("*_openapi.json")):
        known |= json.loads(document.read_text()).get("components", {}).get("schemas", {})
    wanted = []
    for name, schema in known.items():
        kinds = schema.get("x-kubernetes-group-version-kind", [])
        # Options and events of watches belong to every group; they are no objects.
        if len(kinds) == 1 and (kinds[0]["group"], kinds[0]["version"]) in GROUPS:
            if not kinds[0]["kind"].endswith("List"):
                wanted.append(name)
    kept = {}
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept[name] = known[name]
            wanted += references(known[name])
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    target = pathlib.Path(__file__).with_name("schemas.json.gz")
    # No time and no name inside: the same documents give the same bytes.
    target.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(kept)} schemas, {len(text)} bytes, {target.stat().st_size} compressed")


main()
