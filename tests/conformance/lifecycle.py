# SPDX-License-Identifier: Apache-2.0
"""runtime.md: the life cycle, the state, the operations and their errors, the hooks; and the shared command line."""
import json
import os
import signal
import subprocess

from lib import *


@check("create: the state is created, with id, pid, bundle and version")
def _(c):
    c.sh("sleep 1000").create()
    state = c.state()
    same(state["status"], "created")
    same(state["id"], c.id)
    same(state["bundle"], str(c.bundle))
    must(os.path.exists(f"/proc/{state['pid']}"), "the pid of the state is no process")
    must(state["ociVersion"].count(".") >= 2, "ociVersion is no version")


@check("create: the workload does not run before start")
def _(c):
    c.sh("echo ran > /tmp/ran; sleep 1000").create()
    must(not c.file("tmp/ran").exists(), "it ran")
    c.start()
    eventually(c.file("tmp/ran").exists, "it runs")


@check("start: the state is running; the end of the workload: stopped")
def _(c):
    c.sh("while [ ! -e /tmp/end ]; do sleep 0.02; done").create()
    c.start()
    same(c.status(), "running")
    pid = c.state()["pid"]
    c.file("tmp/end").touch()
    c.stopped()
    must(not os.path.exists(f"/proc/{pid}") or " Z " in open(f"/proc/{pid}/stat").read(), "its process still runs")


@check("start: of a running container is an error, and changes nothing")
def _(c):
    c.up()
    c.refused("start", c.id)
    same(c.status(), "running")


@check("start: of a stopped container is an error")
def _(c):
    c.up("exit 0")
    c.stopped()
    c.refused("start", c.id)


@check("kill: the signal reaches the workload")
def _(c):
    c.up("trap 'echo got > /tmp/got; exit' USR1; echo > /tmp/ready; while :; do sleep 0.02; done")
    eventually(c.file("tmp/ready").exists, "ready")
    c.kill("USR1")
    eventually(c.file("tmp/got").exists, "the signal came")
    c.stopped()


for word in ("KILL", "SIGKILL", "9"):
    @check(f"kill: a signal called {word}")
    def _(c, word=word):
        c.up()
        c.kill(word)
        c.stopped()


@check("kill: the signal is SIGTERM when none is named")
def _(c):
    c.up("trap 'echo got > /tmp/got; exit' TERM; echo > /tmp/ready; while :; do sleep 0.02; done")
    eventually(c.file("tmp/ready").exists, "ready")
    c.kill()
    eventually(c.file("tmp/got").exists, "the signal came")


@check("kill: an unknown signal is an error")
def _(c):
    c.up()
    c.refused("kill", c.id, "NOSUCH")
    same(c.status(), "running")


@check("kill: of a created container ends it")
def _(c):
    c.sh("sleep 1000").create()
    c.kill("KILL")
    c.stopped()


@check("kill: of a stopped container is an error")
def _(c):
    c.up("exit 0")
    c.stopped()
    c.refused("kill", c.id, "KILL")


@check("kill --all: every process of it")
def _(c):
    c.namespace("pid", False)
    c.up("sleep 1000 & echo $! > /tmp/pid; wait")
    eventually(lambda: c.file("tmp/pid").exists() and c.file("tmp/pid").read_text().strip(), "the second process")
    pid = c.file("tmp/pid").read_text().strip()
    c.ok("kill", "--all", c.id, "KILL")
    eventually(lambda: not os.path.exists(f"/proc/{pid}") or " Z " in open(f"/proc/{pid}/stat").read(), "it is dead")


@check("delete: of a running container is an error, and it runs on")
def _(c):
    c.up()
    c.refused("delete", c.id)
    same(c.status(), "running")


@check("delete: nothing of a stopped container is left, and its id is free")
def _(c):
    c.up("exit 0")
    c.stopped()
    c.ok("delete", c.id)
    c.refused("state", c.id)
    must(not cgroup_dirs(c.id), f"control groups are left: {cgroup_dirs(c.id)}")
    must(not c.mounts_below(), "mounts are left")
    same([p for p in c.state_root.rglob(f"*{c.id}*")], [], "what is left in the folder of the state")
    c.up()


@check("delete --force: of a running container ends and removes it")
def _(c):
    c.up()
    pid = c.state()["pid"]
    c.ok("delete", "--force", c.id)
    c.refused("state", c.id)
    eventually(lambda: not os.path.exists(f"/proc/{pid}") or " Z " in open(f"/proc/{pid}/stat").read(), "it is dead")
    must(not cgroup_dirs(c.id), "control groups are left")


@check("delete --force: of what does not exist is no error")
def _(c):
    c.ok("delete", "--force", "nobody")


@check("delete: a created one that was killed")
def _(c):
    c.sh("sleep 1000").create()
    c.kill("KILL")
    c.stopped()
    c.ok("delete", c.id)


for verb in ("state", "start", "kill", "delete", "exec", "pause", "resume", "ps", "update"):
    @check(f"{verb}: of an unknown id is an error")
    def _(c, verb=verb):
        c.refused(verb, "nobody", *{"kill": ["KILL"], "exec": ["true"]}.get(verb, []))


@check("create: an id in use is an error, and its container is not touched")
def _(c):
    c.up()
    pid = c.state()["pid"]
    c.refused("create", "--bundle", c.bundle, c.id)
    same((c.status(), c.state()["pid"]), ("running", pid))
    c.kill("KILL")


for bad in ("../escape", "a/b", "", "."):
    @check(f"create: the id {bad!r} is refused")
    def _(c, bad=bad):
        c.write()
        c.refused("create", "--bundle", c.bundle, bad)


@check("create: no config.json is an error")
def _(c):
    c.refused("create", "--bundle", c.bundle, c.id)


@check("create: no such bundle is an error")
def _(c):
    c.refused("create", "--bundle", c.dir / "nowhere", c.id)


@check("create: a broken config.json is an error")
def _(c):
    for text in ("", "{", "[]", '{"process": 3}'):
        (c.bundle / "config.json").write_text(text)
        c.refused("create", "--bundle", c.bundle, c.id)


@check("create: no root file system is an error")
def _(c):
    c.config["root"]["path"] = "nowhere"
    c.create_refused()


@check("create: an ociVersion that is no version is an error")
def _(c):
    c.config["ociVersion"] = "abc"
    c.create_refused()


@check("create: later changes of config.json have no effect")
def _(c):
    c.sh("echo first > /tmp/which").create()
    c.sh("echo second > /tmp/which").write()
    c.start()
    c.stopped()
    same(c.file("tmp/which").read_text(), "first\n")


@check("create: unknown properties are ignored")
def _(c):
    c.config["unknown"] = {"a": [1]}
    c.process["unknown"] = "b"
    c.linux["unknown"] = 3
    same(c.out("echo hi"), "hi")


@check("create: --pid-file has the pid of the state")
def _(c):
    c.sh("sleep 1000").create("--pid-file", c.host("pid"))
    same(int(c.host("pid").read_text()), c.state()["pid"])


@check("create: the bundle is the current folder by default")
def _(c):
    c.sh("exit 0").write()
    c.ok("create", c.id, cwd=c.bundle)
    same(c.state()["bundle"], str(c.bundle))


@check("create: a relative bundle; the state's is absolute")
def _(c):
    c.sh("exit 0").write()
    c.ok("create", "--bundle", "bundle", c.id)
    same(c.state()["bundle"], str(c.bundle))


@check("create: an absolute root.path")
def _(c):
    c.config["root"]["path"] = str(c.rootfs)
    same(c.out("echo hi"), "hi")


@check("create: a command that does not exist is an error, and nothing is left")
def _(c):
    c.process["args"] = ["no-such-command"]
    done = c.run()
    must(done.status != 0, "it must be an error")
    has(done.err, "no-such-command")
    c.refused("state", c.id)
    must(not cgroup_dirs(c.id), "control groups are left")


@check("create: what is not executable is an error")
def _(c):
    c.process["args"] = ["/etc/passwd"]
    must(c.run().status != 0, "it must be an error")


@check("create: process.args must not be empty")
def _(c):
    c.process["args"] = []
    c.create_refused()


@check("state: annotations are those of the configuration")
def _(c):
    c.config["annotations"] = {"org.example.a": "1", "org.example.empty": ""}
    c.sh("sleep 1000").create()
    same(c.state()["annotations"], {"org.example.a": "1", "org.example.empty": ""})


for wanted, script in ((0, "exit 0"), (3, "exit 3"), (137, "sh -c 'kill -KILL $$'; exit $?"), (255, "exit 255")):
    @check(f"run: the exit status {wanted} is the workload's")
    def _(c, wanted=wanted, script=script):
        same(c.sh(script).run().status, wanted)
        c.refused("state", c.id)


@check("run: a workload ended by a signal is 128 and its number")
def _(c):
    c.sh("echo > /tmp/ready; sleep 1000").write()
    child = subprocess.Popen([c.runtime, "--root", c.state_root, "run", "--bundle", c.bundle, c.id],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    c.children.append(child)
    eventually(c.file("tmp/ready").exists, "ready")
    c.kill("KILL")
    same(child.wait(LIMIT_S), 128 + signal.SIGKILL)


@check("run: standard input, output and error are the caller's")
def _(c):
    done = c.sh("cat; echo out; echo err >&2").run(stdin="in\n")
    same((done.out, done.err), ("in\nout\n", "err\n"))


@check("run --detach: returns while it runs")
def _(c):
    c.sh("sleep 1000").write()
    c.ok("run", "--detach", "--bundle", c.bundle, "--pid-file", c.host("pid"), c.id)
    same(c.status(), "running")
    same(int(c.host("pid").read_text()), c.state()["pid"])


@check("list: names every container, as a table, quietly, and as JSON")
def _(c):
    c.up()
    has(c.ok("list").out, c.id)
    same(c.ok("list", "-q").out.split(), [c.id])
    listed = json.loads(c.ok("list", "--format", "json").out)
    same([(item["id"], item["status"], item["pid"]) for item in listed], [(c.id, "running", c.state()["pid"])])


@check("ps: the processes, as JSON")
def _(c):
    c.up("sleep 1000 & sleep 1000 & wait")
    eventually(lambda: len(json.loads(c.ok("ps", "--format", "json", c.id).out)) == 3, "three processes")
    must(c.state()["pid"] in json.loads(c.ok("ps", "--format", "json", c.id).out), "the pid of the state is not there")


@check("pause and resume: paused is a state, in which nothing runs")
def _(c):
    c.up("while :; do echo x >> /tmp/log; sleep 0.02; done")
    eventually(c.file("tmp/log").exists, "it runs")
    c.ok("pause", c.id)
    same(c.status(), "paused")
    size = c.file("tmp/log").stat().st_size
    subprocess.run(["sleep", "0.1"], check=True)  # a time in which it would have written
    same(c.file("tmp/log").stat().st_size, size)
    c.ok("resume", c.id)
    same(c.status(), "running")
    eventually(lambda: c.file("tmp/log").stat().st_size > size, "it runs on")


@check("pause: delete --force ends a paused one")
def _(c):
    c.up()
    c.ok("pause", c.id)
    c.ok("delete", "--force", c.id)
    c.refused("state", c.id)


@check("pause: of a stopped one is an error")
def _(c):
    c.up("exit 0")
    c.stopped()
    c.refused("pause", c.id)


@check("events --stats: memory, processor and processes as JSON")
def _(c):
    c.up()
    event = json.loads(c.ok("events", "--stats", c.id).out)
    same((event["type"], event["id"]), ("stats", c.id))
    must(event["data"]["pids"]["current"] >= 1, "no process counted")
    must(event["data"]["memory"]["usage"]["usage"] > 0, "no memory counted")


@check("spec: a config.json that runs; not over one that is there")
def _(c):
    c.ok("spec", cwd=c.bundle)
    config = json.loads((c.bundle / "config.json").read_text())
    c.refused("spec", cwd=c.bundle)
    config["process"].update(terminal=False, args=["echo", "hi"], rlimits=[])
    c.config = config
    same(c.run().out, "hi\n")


@check("features: the versions, hooks and mount options, as JSON")
def _(c):
    features = json.loads(c.ok("features").out)
    has(features["ociVersionMin"], "1.")
    has(features["hooks"], "createRuntime")
    has(features["mountOptions"], "rbind")


@check("--version: names itself and the version of the specification")
def _(c):
    has(c.ok("--version").out, "spec: 1.")


@check("--log --log-format json: the error is in the file, as JSON")
def _(c):
    done = c.call("--log", c.host("log"), "--log-format", "json", "state", "nobody")
    must(done.status != 0, "it must be an error")
    entry = json.loads(c.host("log").read_text().splitlines()[-1])
    same(entry["level"], "error")
    must(entry["msg"], "no message")


@check("an unknown verb or option is an error")
def _(c):
    c.refused("no-such-verb")
    c.refused("state", "--no-such-option", "x")


# ---- hooks ----

STAGES = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]


@check("hooks: every stage, in order, each at its operation")
def _(c):
    log = c.host("log")
    log.touch()
    for stage in STAGES:
        # startContainer runs in the container: it has only what is mounted there.
        c.hook(stage, f"echo {stage} >> {'/log' if stage == 'startContainer' else log}")
    c.mount("/log", "bind", log, "bind")
    c.sh("echo workload >> /log").create()
    same(log.read_text().split(), STAGES[:3], "at create")
    c.start()
    c.stopped()
    same(set(log.read_text().split()), {*STAGES[:5], "workload"}, "at start")
    must(log.read_text().split().index("startContainer") < log.read_text().split().index("workload"), "order")
    c.ok("delete", c.id)
    same(log.read_text().split()[-1], "poststop", "at delete")


for stage in ("prestart", "createRuntime", "createContainer", "poststart", "poststop"):
    @check(f"hooks: {stage} gets the state on standard input")
    def _(c, stage=stage):
        c.config["annotations"] = {"org.example.hook": "yes"}
        c.hook(stage, f"cat > {c.host('state.json')}")
        c.up("exit 0")
        c.stopped()
        c.ok("delete", c.id)
        state = json.loads(c.host("state.json").read_text())
        same((state["id"], state["bundle"]), (c.id, str(c.bundle)))
        same(state["annotations"], {"org.example.hook": "yes"})
        must(state["ociVersion"], "ociVersion")
        wanted = {"poststart": ("running", "stopped"), "poststop": ("stopped",)}.get(stage, ("creating", "created"))
        must(state["status"] in wanted, f"status {state['status']} in {stage}")
        must(stage in ("poststop", "createContainer") or state["pid"] > 0, "pid")


@check("hooks: startContainer gets the state, in the container's namespaces")
def _(c):
    c.hook("startContainer", "cat > /tmp/state.json; hostname > /tmp/hostname")
    c.up("exit 0")
    c.stopped()
    same(json.loads(c.file("tmp/state.json").read_text())["id"], c.id)
    same(c.file("tmp/hostname").read_text(), "conformance\n")


@check("hooks: createContainer is in the container's namespaces, but sees the host's files")
def _(c):
    c.hook("createContainer", f"readlink /proc/self/ns/mnt > {c.host('ns')}")
    c.up()
    must(c.host("ns").read_text().strip() != os.readlink("/proc/self/ns/mnt"), "the mount namespace is the runtime's")
    same(c.host("ns").read_text().strip(), os.readlink(f"/proc/{c.state()['pid']}/ns/mnt"))


@check("hooks: prestart and createRuntime are in the runtime's namespaces")
def _(c):
    for stage in ("prestart", "createRuntime"):
        c.hook(stage, f"readlink /proc/self/ns/mnt >> {c.host('ns')}")
    c.up("exit 0")
    same(c.host("ns").read_text().split(), [os.readlink("/proc/self/ns/mnt")] * 2)


for stage in ("prestart", "createRuntime", "createContainer"):
    @check(f"hooks: a {stage} that fails: create fails, and nothing is left")
    def _(c, stage=stage):
        c.hook(stage, "exit 3")
        c.create_refused()
        must(not cgroup_dirs(c.id), "control groups are left")


@check("hooks: a startContainer that fails: the workload does not run")
def _(c):
    c.hook("startContainer", "exit 3")
    c.sh("echo > /tmp/ran").create()
    c.call("start", c.id)
    eventually(lambda: c.call("state", c.id).status != 0 or c.status() == "stopped", "it is stopped")
    must(not c.file("tmp/ran").exists(), "it ran")


@check("hooks: after a poststop that fails the others still run, and the container is gone")
def _(c):
    c.hook("poststop", "exit 3")
    c.hook("poststop", f"touch {c.host('second')}")
    c.up("exit 0")
    c.stopped()
    c.call("delete", c.id)
    c.refused("state", c.id)
    must(c.host("second").exists(), "the second hook did not run")


@check("hooks: args and env are given as they are")
def _(c):
    c.hook("createRuntime", f'echo "$A:$HOME" > {c.host("env")}', env=["A=b", "PATH=/bin:/usr/bin"])
    c.up("exit 0")
    same(c.host("env").read_text(), "b:\n")


@check("hooks: a time-out binds")
def _(c):
    c.hook("createRuntime", "exec sleep 1000", timeout=1)
    c.create_refused()


@check("hooks: a path that does not exist fails create")
def _(c):
    c.config["hooks"] = {"createRuntime": [{"path": "/no/such/hook"}]}
    c.create_refused()


@check("hooks: createRuntime can use the container's network namespace")
def _(c):
    c.hook("createRuntime", "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/;t;d'); "
           "nsenter --net=/proc/$pid/ns/net sysctl -qw net.ipv4.ip_default_ttl=77", env=[f"PATH={os.environ['PATH']}"])
    same(c.out("cat /proc/sys/net/ipv4/ip_default_ttl"), "77")
