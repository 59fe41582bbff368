# SPDX-License-Identifier: Apache-2.0
"""Policies that have one wall of a preset and nothing else: a probe that one of them stops, but "nothing" does not,
would be stopped by that wall alone."""
import json
import subprocess

NOTHING = {"version": 1, "extends": None, "capabilities": ["ALL"], "no_new_privs": False, "network": "host",
           "seccomp": False}


def effective(bivalve, name):
    """A preset with all that it extends."""
    return json.loads(subprocess.run([bivalve, "policy", "show", "--effective", name], check=True,
                                     stdout=subprocess.PIPE).stdout)


def filter_of(preset):
    """
    The filter as the preset's own capabilities make it, for a workload that has all of them. Which rules a granted
    capability brings in is thereby decided here.
    """
    def holds(condition):
        return (condition.lstrip("!") in preset["capabilities"]) != condition.startswith("!")
    rules = [{key: value for key, value in rule.items() if key != "capability"} for rule in preset["seccomp"]["rules"]
             if "capability" not in rule or holds(rule["capability"])]
    return dict(preset["seccomp"], rules=rules)


def says_something(key, value):
    """Not one of the values that an effective document spells out for what is not restricted."""
    return key == "capabilities" or (any(value.values()) if isinstance(value, dict) else bool(value))


def walls(bivalve, name):
    """{wall: policy}, in the order in which a call meets them; "nothing" first."""
    preset = effective(bivalve, name)

    def alone(**keys):
        return dict(NOTHING, **{key: value for key, value in keys.items() if says_something(key, value)})
    found = {
        "nothing": NOTHING,
        "seccomp": alone(seccomp=filter_of(preset)),
        "paths": alone(masked_paths=preset["masked_paths"], readonly_paths=preset["readonly_paths"]),
        "Landlock": alone(landlock=preset.get("landlock")),
        "read-only root": alone(root=preset.get("root")),
        "capabilities": alone(capabilities=preset["capabilities"]),
        "no new privileges": alone(no_new_privs=preset["no_new_privs"]),
        "user namespace": alone(user_namespace=preset.get("user_namespace")),
        "no network": alone(network=preset["network"]),
        "limits": alone(resources=preset.get("resources"), rlimits=preset.get("rlimits"), limits=preset.get("limits")),
    }
    return {wall: policy for wall, policy in found.items() if wall == "nothing" or policy != NOTHING}
