# SPDX-License-Identifier: Apache-2.0
"""policy_schema.py BIVALVE TOP: do policies/schema.json, the tables in the program and policies/README.md agree?

The schema's keywords that it uses are checked by the few lines below. What keys an object has the program tells itself, in the
error about one that it does not know.
"""
import json
import re
import subprocess
import sys
import tempfile

BIVALVE, TOP = sys.argv[1:]
SCHEMA = json.load(open(f"{TOP}/policies/schema.json"))
README = open(f"{TOP}/policies/README.md").read()
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "number": (int, float),
         "integer": int}


def is_type(value, name):
    if name in ("integer", "number") and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[name])


def valid(value, s):
    if "$ref" in s and not valid(value, SCHEMA["$defs"][s["$ref"].rsplit("/", 1)[1]]):
        return False
    if "anyOf" in s and not any(valid(value, one) for one in s["anyOf"]):
        return False
    if "const" in s and value != s["const"] or "enum" in s and value not in s["enum"]:
        return False
    types = s.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(is_type(value, t) for t in types):
        return False
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return s.get("minimum", value) <= value <= s.get("maximum", value)
    if isinstance(value, str):
        return re.search(s.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return len(value) <= s.get("maxItems", len(value)) and all(valid(v, s.get("items", {})) for v in value)
    if isinstance(value, dict):
        known, more = s.get("properties", {}), s.get("additionalProperties", {})
        return (all(k in value for k in s.get("required", [])) and
                all(valid(v, known[k]) if k in known else more is not False and valid(v, more)
                    for k, v in value.items()))
    return True


def run(*words):
    return subprocess.run([BIVALVE, "policy", *words], capture_output=True, text=True)


def keys_of(document):
    """The keys that the program has for the object in which document holds "zzzzzzzzzzzz"."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        told = run("check", file.name).stderr
    match = re.search(r"zzzzzzzzzzzz: unknown key: one of (.*)$", told.strip())
    assert match, (document, told)
    return set(match.group(1).split(", "))


def check_tables():
    unknown, top, defs = {"zzzzzzzzzzzz": 1}, SCHEMA["properties"], SCHEMA["$defs"]
    rule = {"syscalls": ["read"], "action": "allow"}
    objects = [
        (unknown, SCHEMA), ({"root": unknown}, top["root"]), ({"resources": unknown}, top["resources"]),
        ({"limits": unknown}, top["limits"]), ({"disk": unknown}, top["disk"]),
        ({"resources": {"io": unknown}}, top["resources"]["properties"]["io"]), ({"landlock": unknown}, top["landlock"]["anyOf"][1]),
        ({"seccomp": unknown}, top["seccomp"]["anyOf"][1]),
        ({"seccomp": {"rules": [{**rule, **unknown}]}}, defs["rule"]),
        ({"seccomp": {"rules": [{**rule, "arguments": [unknown]}]}}, defs["rule"]["properties"]["arguments"]["items"]),
        ({"capabilities": unknown}, defs["list"]["anyOf"][2]),
        ({"rlimits": {"core": {"soft": 1, "hard": 1, **unknown}}},
         top["rlimits"]["additionalProperties"]["anyOf"][1]),
    ]
    for document, schema in objects:
        told, said = keys_of({"version": 1, **document}), set(schema["properties"])
        assert told == said, f"{document}: only in the program {told - said}, only in the schema {said - told}"
        for key in said:
            assert re.search(rf"[`.\"]{key}[`.\" :]", README), f"policies/README.md does not name {key}"
    for name, schema in (("network", top["network"]), ("action", defs["rule"]["properties"]["action"])):
        for word in schema["enum"]:
            assert word is None or f'"{word}"' in README, f"policies/README.md does not name {name} {word}"


def check_documents():
    presets = [line.split()[0] for line in run("list").stdout.splitlines()]
    assert len(presets) >= 6
    for name in presets:
        for words in (["show", name], ["show", "--effective", name]):
            assert valid(json.loads(run(*words).stdout), SCHEMA), f"{words} is not what the schema says"
        assert f"### {name}" in README, f"policies/README.md does not tell of {name}"
    for bad in ({}, {"version": 2}, {"version": 1, "x": 1}, {"version": 1, "landlock": True},
                {"version": 1, "seccomp": {"rules": [{"syscalls": ["read"]}]}},
                {"version": 1, "landlock": {"bind_tcp": [70000]}}, {"version": 1, "resources": {"pids": True}}):
        assert not valid(bad, SCHEMA), bad
    for group in json.loads(run("list", "--groups", "--json").stdout):
        assert f"| `{group['name']}` |" in README, f"policies/README.md does not tell of {group['name']}"


check_tables()
check_documents()
