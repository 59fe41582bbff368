# SPDX-License-Identifier: Apache-2.0
"""What the probes did when they were recorded (matrix.json), what people say about it (notes.json), the comparison with
what they do now, and the document made of both."""
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
RECORD, NOTES, DOCUMENT = HERE / "matrix.json", HERE / "notes.json", HERE.parent.parent / "docs/containment.md"
COLUMNS = ("host", "container/strict", "vm/strict", "container/default", "vm/default")
FAR = {"not-run": 0, "blocked": 0, "allowed": 1, "host": 2}


def load():
    return json.loads(RECORD.read_text())


def notes():
    return json.loads(NOTES.read_text())


def column(recorded, name):
    return {probe: cells[name] for probe, cells in recorded["probes"].items() if name in cells}


def further(recorded, name, results):
    """What got further than recorded, hangs, or is no longer probed at all. A line each."""
    expected, lines = column(recorded, name), []
    for probe, (outcome, error, detail) in results.items():
        if probe not in expected:
            lines.append(f"{probe}: not recorded yet: {outcome} {error}: {detail}")
        elif FAR[outcome] > FAR[expected[probe][0]]:
            lines.append(f"{probe}: recorded as {' '.join(expected[probe][:2])}, now {outcome}: {detail}")
        elif error == "HANG":
            lines.append(f"{probe}: {detail}")
        elif outcome == "not-run" and expected[probe][0] != "not-run":
            lines.append(f"{probe}: recorded as {expected[probe][0]}, now not run: {detail}")
    return lines + [f"{probe}: recorded, but not run" for probe in expected if probe not in results]


def less_far(recorded, name, results):
    """What is now stopped, or stopped otherwise: worth recording again, not a failure."""
    expected = column(recorded, name)
    return [f"{probe}: recorded as {' '.join(expected[probe][:2])}, now {outcome} {error}: {detail}"
            for probe, (outcome, error, detail) in results.items()
            if probe in expected and FAR[outcome] < FAR[expected[probe][0]]]


def unexplained(recorded):
    """Where the shells differ, or something gets through under `strict`, and no note says why. A line each."""
    lines, said = [], notes()
    for probe, cells in recorded["probes"].items():
        note = said.get(probe, {})
        if not note.get("tries"):
            lines.append(f"{probe}: no note says what it tries")
        for policy in ("strict", "default"):
            container, vm = cells[f"container/{policy}"], cells[f"vm/{policy}"]
            if container[0] != vm[0] and not note.get("differs"):
                lines.append(f"{probe}: {policy}: {container[0]} in the container, {vm[0]} in the VM: no note says why")
        for shell in ("container", "vm"):
            if cells[f"{shell}/strict"][0] == "allowed" and not note.get("allowed"):
                lines.append(f"{probe}: allowed in {shell} under strict, and no note says why")
            if cells[f"{shell}/strict"][0] == "host":
                lines.append(f"{probe}: reaches the host in {shell} under strict")
            if cells[f"{shell}/default"][0] == "host" and not note.get("host"):
                lines.append(f"{probe}: reaches the host in {shell} under default, and no note says why")
    return lines + [f"{probe}: a note about no probe" for probe in said if probe not in recorded["probes"]]


def in_kernel(host, nothing):
    """Refused in the same way with no wall at all, and on the bare host."""
    return host[0] == nothing[0] == "blocked" and host[1] == nothing[1]


def stopped_by(probe, host, preset, single):
    """What stopped a probe: every wall that would do so alone; else what a container always has; else the kernel."""
    nothing = single["nothing"].get(probe, ["blocked", "-", ""])
    if preset[0] != "blocked":
        return []
    if nothing[0] == "blocked":
        return ["kernel" if in_kernel(host, nothing) else "shell"]
    found = [wall for wall, results in single.items()
             if wall != "nothing" and results.get(probe, nothing)[0] == "blocked"]
    return found or ["several together"]


def save(columns, single, facts):
    """columns: {column: results}; single: {policy: {wall: results}}; facts: when and where."""
    probes, before = {}, load()["probes"] if RECORD.exists() else {}
    for probe in columns["container/strict"]:
        cells = {name: columns[name][probe] for name in COLUMNS if probe in columns[name]}
        for policy in ("strict", "default"):
            key = f"stopped/{policy}"
            cells[key] = before[probe][key] if policy not in single else stopped_by(
                probe, cells.get("host", ["not-run", "-", ""]), cells[f"container/{policy}"], single[policy])
        probes[probe] = cells
    rows = ",\n".join(map(row, probes.items()))
    RECORD.write_text(f'{{"recorded": {json.dumps(facts)},\n"probes": {{\n{rows}}}}}\n')


def row(item):
    """A line for each cell, so that a difference can be read."""
    probe, cells = item
    lines = ",\n".join(f"\t{json.dumps(name)}: {json.dumps(cell)}" for name, cell in cells.items())
    return f"{json.dumps(probe)}: {{\n{lines}}}"


# ---- the document ----

HEAD = """# Containment: what gets how far

<!-- Made by `make containment-matrix` from tests/containment/matrix.json and notes.json: do not edit. -->

Each row is a small program that tries what untrusted programs try ([tests/containment/probes](../tests/containment/probes)).
All of them run as root on the bare host, in the container and in the microVM, under the presets `strict` and `default`, while
the host has laid out what they are after: a file, a process, another sandbox, listeners, a key, shared memory, settings of
the kernel. `make check` runs them again in both shells and fails when one gets further than it says here, or when anything
on the host was touched.

    make containment-matrix                  # run everything, as root, and write this file anew
    tests/containment/run check              # compare with it (--shell vm --policy strict: one column)
    tests/containment/run tightness          # JSON: counts by shell and policy

Recorded on {date}: {machine}.

- **blocked**: refused, with that errno or by that signal; without either, there was nothing to be had.
- **allowed**: let through. In the VM that is *in the guest*: the guest's kernel, files or processes, none of the host's.
- **not run**: it would harm the bare host, or there is nothing of the kind to attack.
- On the bare host, `host` means that it had the host's file, process or listener, as it should there: the probe works.

**Stopped by** names every wall that would have stopped it alone. It is found in the container, by policies that have one wall
and nothing else: *seccomp* (the preset's filter), *paths* (masked and read-only ones), *Landlock*, *read-only root*,
*capabilities*, *no new privileges*, *user namespace*, *no network*, *limits*. *shell*: stopped even with every capability, no filter and the
host's network, by what the shell always has: a root, mounts, processes, IPC and host name of its own, few device nodes, a
bounded /dev/shm, the launcher's own hard limits. Where this host's kernel lacks what is attacked or refuses it to root, it is
found in the guest, where the same walls stand by the same code; *kernel*: refused there too. In the VM the machine stands
behind all of them.

"""
TAIL = """
Not in the table: a guest that attacks its machine with malformed virtqueues, wild MMIO and ports is
[tests/containment/hostile](../tests/containment/hostile), run by tests/integration/hostile_guest.bats.

## Where the shells differ, and what `strict` lets through

"""


def cell_text(name, cell):
    outcome, error, _ = cell
    words = {"not-run": "not run", "host": "**host**", "allowed": "allowed"}
    if name.startswith("vm"):
        words["allowed"] = "allowed in the guest"
    return words.get(outcome, outcome + (f" {error}" if error != "-" else ""))


def summary(recorded):
    rows = ["| | " + " | ".join(("blocked", "allowed", "not run", "reached the host")) + " |", "|---|---|---|---|---|"]
    for name in COLUMNS[1:]:
        outcomes = [cells[name][0] for cells in recorded["probes"].values()]
        counts = [str(outcomes.count(word)) for word in ("blocked", "allowed", "not-run", "host")]
        shell, policy = name.split("/")
        rows.append(f"| {'microVM' if shell == 'vm' else shell}, `{policy}` | " + " | ".join(counts) + " |")
    return "\n".join(rows) + "\n\n"


def text(recorded):
    said = notes()
    rows = ["| Probe | tries | bare host | container, `strict` | microVM, `strict` | stopped by | container, `default` | "
            "microVM, `default` | stopped by |", "|---|---|---|---|---|---|---|---|---|"]
    for probe, cells in recorded["probes"].items():
        shown = {name: cell_text(name, cells[name]) if name in cells else "not run" for name in COLUMNS}
        words = [probe, said[probe]["tries"], shown["host"]]
        for policy in ("strict", "default"):
            words += [shown[f"container/{policy}"], shown[f"vm/{policy}"], ", ".join(cells[f"stopped/{policy}"])]
        rows.append(f"| {' | '.join(words)} |")
    reasons = [f"- **{probe}**: {said[probe][kind]}" for probe in recorded["probes"]
               for kind in ("differs", "allowed", "host") if said[probe].get(kind)]
    table, reasons = ("\n".join(lines) + "\n" for lines in (rows, reasons))
    return HEAD.format(**recorded["recorded"]) + summary(recorded) + table + TAIL + reasons


def document():
    recorded = load()
    problems = unexplained(recorded)
    for problem in problems:
        print(problem)
    if not problems:
        DOCUMENT.write_text(text(recorded))
    return 1 if problems else 0


def document_is_current():
    return DOCUMENT.exists() and DOCUMENT.read_text() == text(load())
