# SPDX-License-Identifier: Apache-2.0
"""config.md and config-linux.md, process: arguments, environment, user, capabilities, limits, terminal; and exec."""
import fcntl
import json
import os
import struct
import termios

from lib import *

# What is asked for, what then looks at it inside, and what it must see: (name, process.KEY = value …, script, output)
FIELDS = [
    ("args: as they are, empty ones too", {"args": ["sh", "-c", 'echo "$#:$1:$2"', "x", "", "a b"]}, None, "2::a b"),
    ("args: the command is searched in the PATH of env", {"args": ["sh", "-c", "echo hi"], "env": ["PATH=/nowhere:/bin"]},
     None, "hi"),
    ("env: nothing else", {"env": ["PATH=/bin", "A=1", "B=x y", "HOME=/root"]}, "env | grep -v -e ^PWD= -e ^SHLVL= | sort",
     "A=1\nB=x y\nHOME=/root\nPATH=/bin"),
    ("cwd: is the current folder", {"cwd": "/etc"}, "pwd", "/etc"),
    ("cwd: is made when missing", {"cwd": "/made/for/it"}, "pwd", "/made/for/it"),
    ("user: uid and gid", {"user": {"uid": 1000, "gid": 50}}, "echo $(id -u) $(id -g)", "1000 50"),
    ("user: no groups but those asked for", {"user": {"uid": 1000, "gid": 50}}, "grep ^Groups: /proc/self/status | tr -d ' \t'",
     "Groups:"),
    ("user: additionalGids", {"user": {"uid": 1000, "gid": 50, "additionalGids": [60, 70]}},
     "grep ^Groups: /proc/self/status | tr -s ' \t' ' '", "Groups: 60 70 "),
    ("user: umask", {"user": {"uid": 0, "gid": 0, "umask": 0o27}}, "umask", "0027"),
    ("user: umask is 0022 by default", {}, "umask", "0022"),
    ("user: HOME is that of the user, when not given", {"user": {"uid": 0, "gid": 0}}, "echo $HOME", "/root"),
    ("noNewPrivileges: set", {"noNewPrivileges": True}, "grep ^NoNewPrivs /proc/self/status | tr -d '\t'", "NoNewPrivs:1"),
    ("noNewPrivileges: not set", {"noNewPrivileges": False}, "grep ^NoNewPrivs /proc/self/status | tr -d '\t'",
     "NoNewPrivs:0"),
    ("rlimits: soft and hard", {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]},
     "ulimit -Sn; ulimit -Hn", "100\n200"),
    ("rlimits: several", {"rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                                      {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 1 << 21}]},
     "ulimit -Sc; ulimit -Ss; ulimit -Hs", "0\n1024\n2048"),
    ("oomScoreAdj", {"oomScoreAdj": 500}, "cat /proc/self/oom_score_adj", "500"),
    ("oomScoreAdj: 0 is a value", {"oomScoreAdj": 0}, "cat /proc/self/oom_score_adj", "0"),
    ("terminal: false has no controlling terminal", {}, "test -t 0 || test -c /dev/console || echo none", "none"),
    ("consoleSize: ignored without a terminal", {"consoleSize": {"height": 10, "width": 20}}, "echo hi", "hi"),
    ("scheduler: SCHED_BATCH and a nice value", {"scheduler": {"policy": "SCHED_BATCH", "nice": 5}},
     "awk '{ print $19, $41 }' /proc/self/stat", "5 3"),
    ("ioPriority", {"ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}}, "ionice | tr -d ' ' | cut -d: -f1", "idle"),
]
for title, fields, script, wanted in FIELDS:
    @check(f"process.{title}")
    def _(c, fields=fields, script=script, wanted=wanted):
        c.process.update(fields)
        same(c.out(script), wanted)


@check("process.rlimits: an unknown type is an error")
def _(c):
    c.process["rlimits"] = [{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}]
    c.create_refused()


@check("process.rlimits: a type named twice is an error")
def _(c):
    c.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2
    c.create_refused()


@check("process.cwd: must be absolute")
def _(c):
    c.process["cwd"] = "etc"
    c.create_refused()


@check("process.user: a user without a name owns its standard streams' terminal folder no less")
def _(c):
    c.process["user"] = {"uid": 4242, "gid": 4242}
    same(c.out("echo hi > /dev/null && echo $(id -u)"), "4242")


# ---- capabilities: CHOWN is bit 0, KILL bit 5, NET_BIND_SERVICE bit 10 ----

def mask(names):
    numbers = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5, "CAP_SETGID": 6,
               "CAP_SETUID": 7, "CAP_SYS_CHROOT": 18, "CAP_MKNOD": 27}
    return sum(1 << numbers[name] for name in names)


def sets(c):
    lines = c.out("grep ^Cap /proc/self/status").splitlines()
    return {line[3:6]: int(line.split()[1], 16) for line in lines}


for names, wanted in ((["CAP_CHOWN"], 1), (["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"], 0x421), ([], 0)):
    @check(f"process.capabilities: bounding, permitted and effective are {names}")
    def _(c, names=names, wanted=wanted):
        c.process["capabilities"] = {kind: names for kind in ("bounding", "permitted", "effective")}
        seen = sets(c)
        same((seen["Bnd"], seen["Prm"], seen["Eff"]), (wanted, wanted, wanted))


@check("process.capabilities: absent means none")
def _(c):
    del c.process["capabilities"]
    same(set(sets(c).values()), {0})


@check("process.capabilities: ambient ones are had by a user that is not root")
def _(c):
    c.process["user"] = {"uid": 1000, "gid": 1000}
    c.process["capabilities"] = {k: ["CAP_KILL"] for k in ("bounding", "permitted", "effective", "inheritable", "ambient")}
    same(set(sets(c).values()), {1 << 5})


@check("process.capabilities: a user that is not root has none without ambient ones")
def _(c):
    c.process["user"] = {"uid": 1000, "gid": 1000}
    seen = sets(c)
    same((seen["Prm"], seen["Eff"], seen["Amb"]), (0, 0, 0))


@check("process.capabilities: no inheritable ones unless asked for")
def _(c):
    same(sets(c)["Inh"], 0)


@check("process.capabilities: inheritable ones as asked for")
def _(c):
    c.process["capabilities"]["inheritable"] = ["CAP_KILL"]
    same(sets(c)["Inh"], 1 << 5)


@check("process.capabilities: one that is not there cannot be used")
def _(c):
    c.process["capabilities"] = {}
    same(c.out("chown 1:1 /tmp 2>/dev/null || echo refused"), "refused")


# ---- descriptors ----

@check("no descriptor of the runtime's is the workload's")
def _(c):
    same(c.out("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ")  # 3 is ls's own


@check("no descriptor of the runtime's is open during the workload, by its own name either")
def _(c):
    c.up()
    pid = c.state()["pid"]
    # start may return before the runtime's own process has become the workload
    eventually(lambda: open(f"/proc/{pid}/comm").read() in ("sh\n", "sleep\n"), "the workload")
    same(sorted(os.listdir(f"/proc/{pid}/fd")), ["0", "1", "2"])


@check("--preserve-fds: those, and no other")
def _(c):
    one, two = os.pipe()
    try:
        os.dup2(two, 3, inheritable=True)
        os.dup2(two, 4, inheritable=True)
        c.sh("ls /proc/self/fd | tr '\\n' ' '")
        done = c.run("--preserve-fds", "1", pass_fds=(3, 4))
        same(done.out, "0 1 2 3 4 ")  # the last is ls's own
    finally:
        for fd in {one, two, 3, 4}:
            os.close(fd)


# ---- terminals ----

@check("terminal: it comes over the console socket, and is the workload's")
def _(c):
    console = Console(c)
    c.process["terminal"] = True
    c.sh("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty; read line; echo got:$line; sleep 1000")
    c.create("--console-socket", console.path)
    terminal = console.receive()
    c.start()
    read_until(terminal, "/dev/")
    os.write(terminal, b"typed\n")
    read_until(terminal, "got:typed")


@check("terminal: is the controlling one: its Ctrl-C is a SIGINT")
def _(c):
    console = Console(c)
    c.process["terminal"] = True
    c.sh("trap 'echo caught; exit' INT; echo ready; while :; do sleep 0.05; done")
    c.create("--console-socket", console.path)
    terminal = console.receive()
    c.start()
    read_until(terminal, "ready")
    os.write(terminal, b"\x03")
    read_until(terminal, "caught")
    c.stopped()


@check("terminal: consoleSize is its size")
def _(c):
    console = Console(c)
    c.process.update(terminal=True, consoleSize={"height": 31, "width": 87})
    c.sh("stty size; sleep 1000")
    c.create("--console-socket", console.path)
    terminal = console.receive()
    c.start()
    has(read_until(terminal, "87"), "31 87")


@check("terminal: a new size reaches the workload")
def _(c):
    console = Console(c)
    c.process["terminal"] = True
    c.sh("echo ready; while [ \"$(stty size)\" != '22 66' ]; do sleep 0.02; done; echo resized; sleep 1000")
    c.create("--console-socket", console.path)
    terminal = console.receive()
    c.start()
    read_until(terminal, "ready")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 22, 66, 0, 0))
    read_until(terminal, "resized")


@check("terminal: /dev/console is it")
def _(c):
    console = Console(c)
    c.process["terminal"] = True
    c.sh("echo to-console > /dev/console; sleep 1000")
    c.create("--console-socket", console.path)
    terminal = console.receive()
    c.start()
    read_until(terminal, "to-console")


@check("terminal: is the user's own")
def _(c):
    console = Console(c)
    c.process.update(terminal=True, user={"uid": 1000, "gid": 1000})
    c.sh("stat -c owner=%u $(tty); sleep 1000")
    c.create("--console-socket", console.path)
    terminal = console.receive()
    c.start()
    read_until(terminal, "owner=1000")


@check("terminal: create without a console socket is an error")
def _(c):
    c.process["terminal"] = True
    c.create_refused()


@check("terminal: a console socket without a terminal is an error")
def _(c):
    console = Console(c)
    c.create_refused("--console-socket", console.path)


# ---- exec ----

@check("exec: in the container, with its root and its namespaces")
def _(c):
    c.up()
    same(c.exec_out("hostname; cat /etc/passwd | head -n 1; "
                    "for n in pid uts net ipc mnt; do readlink /proc/self/ns/$n; done").splitlines(),
         ["conformance", "root:x:0:0:root:/root:/bin/sh"] +
         [os.readlink(f"/proc/{c.state()['pid']}/ns/{kind}") for kind in ("pid", "uts", "net", "ipc", "mnt")])


for status in (0, 3, 255):
    @check(f"exec: the exit status {status} comes back")
    def _(c, status=status):
        c.up()
        same(c.exec("sh", "-c", f"exit {status}").status, status)


@check("exec: ended by a signal is 128 and its number")
def _(c):
    c.up()
    same(c.exec("sh", "-c", "kill -KILL $$").status, 137)


@check("exec: standard input, output and error")
def _(c):
    c.up()
    done = c.exec("sh", "-c", "cat; echo out; echo err >&2", stdin="in\n")
    same((done.out, done.err), ("in\nout\n", "err\n"))


@check("exec: the environment, folder, user, capabilities and limits of the container's process")
def _(c):
    c.process.update(env=["PATH=/bin", "A=1"], cwd="/etc", user={"uid": 1000, "gid": 50},
                     rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}])
    c.up()
    same(c.exec_out("echo $A; pwd; id -u; id -g; ulimit -Sn; grep -e ^CapBnd -e ^NoNew /proc/self/status | tr -d '\t'"),
         "1\n/etc\n1000\n50\n100\nCapBnd:" + f"{mask(CAPS):016x}" + "\nNoNewPrivs:1")


EXEC_OPTIONS = [
    (["--env", "A=2"], "echo $A", "2"), (["--cwd", "/tmp"], "pwd", "/tmp"), (["--user", "1000:50"], "echo $(id -u) $(id -g)",
                                                                             "1000 50"),
    (["--user", "1000"], "id -u", "1000"),
    (["--cap", "CAP_NET_RAW"], "grep ^CapEff: /proc/self/status | grep -c '[2367abef]...$'", "1"),
    (["--no-new-privs"], "grep ^NoNew /proc/self/status | tr -d '\t'", "NoNewPrivs:1"),
]
for options, script, wanted in EXEC_OPTIONS:
    @check(f"exec {' '.join(options)}")
    def _(c, options=options, script=script, wanted=wanted):
        c.process["noNewPrivileges"] = False
        c.up()
        same(c.exec_out(script, *options), wanted)


@check("exec --process: all of the file")
def _(c):
    c.up()
    c.host("process.json").write_text(json.dumps({
        "args": ["sh", "-c", "echo $A; pwd; id -u; grep ^CapBnd /proc/self/status | tr -d '\t'; umask"],
        "env": ["PATH=/bin", "A=3"], "cwd": "/tmp", "user": {"uid": 1000, "gid": 50, "umask": 0o77},
        "capabilities": {"bounding": ["CAP_KILL"]}}))
    done = c.call("exec", "--process", c.host("process.json"), c.id)
    same(done.out, "3\n/tmp\n1000\nCapBnd:0000000000000020\n0077\n")


@check("exec --detach --pid-file: returns while it runs")
def _(c):
    c.up()
    c.ok("exec", "--detach", "--pid-file", c.host("pid"), c.id, "sleep", "1000")
    pid = int(c.host("pid").read_text())
    same(os.readlink(f"/proc/{pid}/ns/pid"), os.readlink(f"/proc/{c.state()['pid']}/ns/pid"))
    must(os.path.exists(f"/proc/{pid}/cmdline"), "it does not run")


@check("exec --tty --console-socket: a terminal")
def _(c):
    c.up()
    console = Console(c)
    c.ok("exec", "--detach", "--tty", "--console-socket", console.path, c.id, "sh", "-c", "tty; echo end; sleep 1000")
    has(read_until(console.receive(), "end"), "/dev/")


@check("exec: no such command is an error that names it")
def _(c):
    c.up()
    done = c.exec("no-such-command")
    must(done.status != 0, "it must be an error")
    has(done.err, "no-such-command")


@check("exec: in a stopped container is an error")
def _(c):
    c.up("exit 0")
    c.stopped()
    must(c.exec("true").status != 0, "it must be an error")


@check("exec: is in the container's control groups")
def _(c):
    c.up()
    pid = c.state()["pid"]
    inside = [line.split(":", 1)[1] for line in open(f"/proc/{pid}/cgroup").read().splitlines()]
    c.namespace("cgroup", False)
    seen = [line.split(":", 1)[1] for line in c.exec_out("cat /proc/self/cgroup").splitlines()]
    same(seen, inside)


@check("exec: ends with the container")
def _(c):
    c.up()
    c.ok("exec", "--detach", "--pid-file", c.host("pid"), c.id, "sleep", "1000")
    pid = int(c.host("pid").read_text())
    c.kill("KILL")
    eventually(lambda: not os.path.exists(f"/proc/{pid}") or " Z " in open(f"/proc/{pid}/stat").read(), "it is dead")


@check("exec: no descriptor of the runtime's is the process's")
def _(c):
    c.up()
    same(c.exec_out("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ")


@check("exec: the seccomp filter of the container binds")
def _(c):
    c.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                          "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
    c.up()
    same(c.exec_out("mkdir /tmp/x 2>/dev/null || echo refused"), "refused")
