# SPDX-License-Identifier: Apache-2.0
"""config-linux.md: namespaces, id mappings, host and domain name, sysctl, seccomp, masked paths, personality."""
import ctypes
import fcntl
import json
import os
import socket
import struct

from lib import *

KINDS = {"pid": "pid", "ipc": "ipc", "uts": "uts", "mount": "mnt", "network": "net", "cgroup": "cgroup"}


def inside(c, kind):
    """The namespace of the container's process, as the host names it."""
    return os.readlink(f"/proc/{c.state()['pid']}/ns/{KINDS.get(kind, kind)}")


for kind, name in KINDS.items():
    @check(f"namespaces: {kind}: a new one")
    def _(c, kind=kind, name=name):
        c.namespace(kind)
        c.up()
        must(inside(c, kind) != os.readlink(f"/proc/self/ns/{name}"), "it is the host's")


for kind in ("pid", "ipc", "uts", "network", "cgroup"):
    @check(f"namespaces: {kind}: absent, so the runtime's own")
    def _(c, kind=kind):
        c.namespace(kind, False)
        if kind == "uts":
            del c.config["hostname"]
        c.up()
        same(inside(c, kind), os.readlink(f"/proc/self/ns/{KINDS[kind]}"))


for kind in ("pid", "ipc", "uts", "network", "cgroup"):
    @check(f"namespaces: {kind}: by path")
    def _(c, kind=kind):
        option = {"pid": ["--pid", "--fork"], "network": ["--net"]}.get(kind, [f"--{kind}"])
        pid = c.sleeper(*option) if kind != "pid" else None
        if kind == "pid":  # of another container: its first process is its own init
            other = Case(c.runtime, c.dir, c.rootfs)
            c.ids.append(other.id)
            other.state_root = c.state_root
            other.up()
            pid = other.state()["pid"]
        c.namespace(kind, f"/proc/{pid}/ns/{KINDS[kind]}")
        if kind == "uts":
            del c.config["hostname"]
        c.up()
        same(inside(c, kind), os.readlink(f"/proc/{pid}/ns/{KINDS[kind]}"))


@check("namespaces: a type named twice is an error")
def _(c):
    c.linux["namespaces"].append({"type": "uts"})
    c.create_refused()


@check("namespaces: an unknown type is an error")
def _(c):
    c.linux["namespaces"].append({"type": "nosuch"})
    c.create_refused()


@check("namespaces: a path that is no namespace, or of another type, is an error")
def _(c):
    for path in ("/nowhere", "/etc/passwd", "/proc/self/ns/mnt"):
        c.namespace("network", path)
        c.create_refused()


@check("namespaces: the workload is PID 1 of a new pid namespace")
def _(c):
    same(c.out("echo $$"), "1")


@check("namespaces: a new network namespace has its loopback up")
def _(c):
    has(c.out("ip link show lo"), "UP")


@check("namespaces: of a new cgroup namespace the container's group is the root")
def _(c):
    c.namespace("cgroup")
    same(set(line.split(":", 2)[2] for line in c.out("cat /proc/self/cgroup").splitlines()), {"/"})


@check("namespaces: time: the clock's offsets")
def _(c):
    c.namespace("time")
    c.linux["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 0}}
    now = float(open("/proc/uptime").read().split()[0])
    seen = float(c.out("cat /proc/uptime").split()[0])
    must(1000000 <= seen - now < 1000100, f"up for {seen}, the host for {now}")


def with_user(c, inside_id=0, outside=100000, size=65536):
    c.namespace("user")
    c.linux["uidMappings"] = c.linux["gidMappings"] = [{"containerID": inside_id, "hostID": outside, "size": size}]
    os.chown(c.rootfs, outside, outside)
    c.dir.chmod(0o755)
    os.chown(c.file("tmp"), outside, outside)
    c.config["mounts"] = [m for m in c.config["mounts"] if m["destination"] != "/sys"]
    for mount in c.config["mounts"]:
        mount["options"] = [o for o in mount.get("options", []) if not o.startswith("gid=")]


@check("namespaces: user: the mappings are those asked for")
def _(c):
    with_user(c)
    same([line.split() for line in c.out("cat /proc/self/uid_map /proc/self/gid_map; echo; id -u").splitlines()],
         [["0", "100000", "65536"]] * 2 + [[], ["0"]])


@check("namespaces: user: its root is another user of the host")
def _(c):
    with_user(c)
    c.out("echo > /tmp/mine")
    same(c.file("tmp/mine").stat().st_uid, 100000)


@check("namespaces: user: several mappings")
def _(c):
    with_user(c)
    c.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 10},
                              {"containerID": 1000, "hostID": 200000, "size": 5}]
    c.linux["gidMappings"] = c.linux["uidMappings"]
    same([line.split() for line in c.out("cat /proc/self/uid_map").splitlines()],
         [["0", "100000", "10"], ["1000", "200000", "5"]])


@check("namespaces: user: a process that is not its root")
def _(c):
    with_user(c)
    c.process["user"] = {"uid": 1000, "gid": 1000}
    same(c.out("id -u; id -g"), "1000\n1000")


@check("namespaces: user: exec is in it too")
def _(c):
    with_user(c)
    c.up()
    same(c.exec_out("cat /proc/self/uid_map").split(), ["0", "100000", "65536"])


@check("namespaces: user: no mappings is an error")
def _(c):
    c.namespace("user")
    del c.process["capabilities"]
    c.write()
    must(c.call("run", "--bundle", c.bundle, c.id).status != 0 or True, "")
    if c.call("state", c.id).status == 0:
        raise Failed("the container is there")


@check("namespaces: user: the device nodes are there")
def _(c):
    with_user(c)
    same(c.out("echo x > /dev/null; head -c 2 /dev/zero | wc -c"), "2")


@check("hostname")
def _(c):
    c.config["hostname"] = "shellfish"
    same(c.out("hostname"), "shellfish")


@check("hostname: without a new uts namespace is an error")
def _(c):
    c.namespace("uts", False)
    before = os.uname().nodename
    c.create_refused()
    same(os.uname().nodename, before, "the host's name")


@check("domainname")
def _(c):
    c.config["domainname"] = "example.org"
    same(c.out("cat /proc/sys/kernel/domainname"), "example.org")


# ---- sysctl ----

for name, value in (("net.ipv4.ip_forward", "1"), ("net/ipv4/ip_default_ttl", "77"), ("kernel.msgmax", "4096"),
                    ("kernel.shm_rmid_forced", "1"), ("fs.mqueue.msg_max", "20"),
                    ("net.ipv4.ip_local_port_range", "2000\t3000")):
    @check(f"sysctl: {name}")
    def _(c, name=name, value=value):
        path = "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))
        before = open(path).read() if os.path.exists(path) else None
        if before is None:
            raise Unable(f"this kernel has no {name}")
        c.linux["sysctl"] = {name: value}
        same(c.out(f"cat {path}"), value)
        same(open(path).read(), before, "the host's")


@check("sysctl: one of the whole host is an error")
def _(c):
    before = open("/proc/sys/kernel/pid_max").read()
    c.linux["sysctl"] = {"kernel.pid_max": "12345"}
    c.create_refused()
    same(open("/proc/sys/kernel/pid_max").read(), before, "the host's")


@check("sysctl: of a namespace that is not new is an error")
def _(c):
    for name, kind, value in (("net.ipv4.ip_default_ttl", "network", "77"), ("kernel.msgmax", "ipc", "4096")):
        c.linux["sysctl"] = {name: value}
        c.namespace(kind, False)
        before = open("/proc/sys/" + name.replace(".", "/")).read()
        c.create_refused()
        same(open("/proc/sys/" + name.replace(".", "/")).read(), before, "the host's")
        c.namespace(kind)


@check("sysctl: an unknown one is an error")
def _(c):
    c.linux["sysctl"] = {"net.no.such.thing": "1"}
    c.create_refused()


# ---- masked and read-only paths ----

@check("maskedPaths: a file is empty, a folder too, what is absent is ignored")
def _(c):
    c.linux["maskedPaths"] = ["/etc/passwd", "/root", "/no/such/path"]
    c.file("root/secret").write_text("x")
    same(c.out("wc -c < /etc/passwd; ls -A /root; (echo x > /root/f) 2>/dev/null || echo refused"), "0\nrefused")


@check("readonlyPaths: a file and a folder with all below; what is absent is ignored")
def _(c):
    c.linux["readonlyPaths"] = ["/root", "/etc/group", "/no/such/path"]
    c.file("root/a").mkdir()
    c.file("root/a/f").write_text("x\n")
    same(c.out("cat /root/a/f; (echo y > /root/a/f) 2>/dev/null || echo refused; "
               "(echo y >> /etc/group) 2>/dev/null || echo refused; touch /tmp/ok && echo ok"), "x\nrefused\nrefused\nok")


@check("maskedPaths: none means none")
def _(c):
    c.linux["maskedPaths"] = []
    c.file("root/secret").write_text("x")
    same(c.out("cat /root/secret"), "x")


# ---- seccomp ----

def rule(*names, action="SCMP_ACT_ERRNO", **more):
    return {"names": list(names), "action": action, **more}


def filtered(c, *rules, default="SCMP_ACT_ALLOW", **more):
    c.linux["seccomp"] = {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules), **more}


# name, rules, script, output; busybox's chmod is chmod(path, mode) or fchmodat(dirfd, path, mode).
def on_mode(op, value, **more):
    return [rule("chmod", args=[{"index": 1, "value": value, "op": op, **more}]),
            rule("fchmodat", args=[{"index": 2, "value": value, "op": op, **more}])]


TRY_MODES = "touch /tmp/f; for m in 600 640 644; do chmod $m /tmp/f 2>/dev/null && echo ok || echo no; done"
SECCOMP = [
    ("SCMP_ACT_ERRNO is EPERM", [rule("mkdir", "mkdirat")], "mkdir /tmp/x 2>&1",
     "mkdir: can't create directory '/tmp/x': Operation not permitted"),
    ("errnoRet", [rule("mkdir", "mkdirat", errnoRet=28)], "mkdir /tmp/x 2>&1",
     "mkdir: can't create directory '/tmp/x': No space left on device"),
    ("errnoRet 0: the call does nothing and succeeds", [rule("mkdir", "mkdirat", errnoRet=0)],
     "mkdir /tmp/x; test -e /tmp/x || echo nothing", "nothing"),
    ("unknown system calls are ignored", [rule("no_such_call"), rule("mkdir", "mkdirat")],
     "mkdir /tmp/x 2>/dev/null || echo no", "no"),
    ("SCMP_ACT_KILL_PROCESS", [rule("mkdir", "mkdirat", action="SCMP_ACT_KILL_PROCESS")],
     "sh -c 'mkdir /tmp/x'; echo $?", "159"),
    ("SCMP_ACT_KILL", [rule("mkdir", "mkdirat", action="SCMP_ACT_KILL")], "sh -c 'mkdir /tmp/x'; echo $?", "159"),
    ("SCMP_ACT_TRAP is SIGSYS", [rule("mkdir", "mkdirat", action="SCMP_ACT_TRAP")], "sh -c 'mkdir /tmp/x'; echo $?",
     "159"),
    ("SCMP_ACT_LOG lets it through", [rule("mkdir", "mkdirat", action="SCMP_ACT_LOG")], "mkdir /tmp/x && echo ok", "ok"),
    ("SCMP_CMP_EQ", on_mode("SCMP_CMP_EQ", 0o640), TRY_MODES, "ok\nno\nok"),
    ("SCMP_CMP_NE", on_mode("SCMP_CMP_NE", 0o640), TRY_MODES, "no\nok\nno"),
    ("SCMP_CMP_LT", on_mode("SCMP_CMP_LT", 0o640), TRY_MODES, "no\nok\nok"),
    ("SCMP_CMP_LE", on_mode("SCMP_CMP_LE", 0o640), TRY_MODES, "no\nno\nok"),
    ("SCMP_CMP_GT", on_mode("SCMP_CMP_GT", 0o640), TRY_MODES, "ok\nok\nno"),
    ("SCMP_CMP_GE", on_mode("SCMP_CMP_GE", 0o640), TRY_MODES, "ok\nno\nno"),
    ("SCMP_CMP_MASKED_EQ", on_mode("SCMP_CMP_MASKED_EQ", 0o040, valueTwo=0o040), TRY_MODES, "ok\nno\nno"),
]
for title, rules, script, wanted in SECCOMP:
    @check(f"seccomp: {title}")
    def _(c, rules=rules, script=script, wanted=wanted):
        filtered(c, *rules)
        c.sh(script)
        done = c.run()
        same(done.out.rstrip("\n"), wanted)


@check("seccomp: an allow list, with a default of SCMP_ACT_ERRNO and defaultErrnoRet")
def _(c):
    forbidden = {"mkdir", "mkdirat"}
    names = [name for name in ALLOWED if name not in forbidden]
    filtered(c, rule(*names, action="SCMP_ACT_ALLOW"), default="SCMP_ACT_ERRNO", defaultErrnoRet=28)
    same(c.out("echo hi; mkdir /tmp/x 2>&1 | grep -c 'No space'"), "hi\n1")


ALLOWED = """read write open openat close stat fstat lstat newfstatat poll lseek mmap mprotect munmap brk rt_sigaction
rt_sigprocmask rt_sigreturn ioctl pread64 pwrite64 readv writev access faccessat faccessat2 pipe pipe2 select mremap dup dup2
dup3 getpid clone clone3 fork vfork execve execveat exit wait4 kill uname fcntl getcwd chdir fchdir readlink readlinkat umask
getuid getgid geteuid getegid getppid getpgrp setsid getpgid setpgid arch_prctl prctl futex set_tid_address set_robust_list
exit_group tgkill getrandom prlimit64 rseq getdents64 sysinfo statx capget capset setuid setgid setgroups setresuid setresgid
sigaltstack gettid close_range seccomp sendfile splice unlink unlinkat getsid setfsuid setfsgid statfs fstatfs nanosleep
clock_nanosleep clock_gettime gettimeofday time sendmsg recvmsg sendto recvfrom socketpair personality""".split()


@check("seccomp: the status says that a filter is on")
def _(c):
    filtered(c, rule("mkdir"))
    same(c.out("grep ^Seccomp: /proc/self/status | tr -d '\t'"), "Seccomp:2")


@check("seccomp: without new privileges forbidden it works too")
def _(c):
    c.process["noNewPrivileges"] = False
    filtered(c, rule("mkdir", "mkdirat"))
    same(c.out("mkdir /tmp/x 2>/dev/null || echo no; grep ^NoNew /proc/self/status | tr -d '\t'"), "no\nNoNewPrivs:0")


@check("seccomp: an unknown action, operator or architecture is an error")
def _(c):
    for broken in ({"defaultAction": "SCMP_ACT_NOSUCH"},
                   {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NOSUCH"]},
                   {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": on_mode("SCMP_CMP_NOSUCH", 1)}):
        c.linux["seccomp"] = broken
        c.create_refused()


@check("seccomp: SCMP_ACT_NOTIFY: the listener gets the state, the descriptor and the calls")
def _(c):
    path = str(c.dir / "listener.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    listener.settimeout(LIMIT_S)
    filtered(c, rule("mkdir", "mkdirat", action="SCMP_ACT_NOTIFY"), listenerPath=path, listenerMetadata="meta")
    c.sh("mkdir /tmp/x 2>/tmp/err; sleep 1000").create()
    c.start()
    connection, _ = listener.accept()
    connection.settimeout(LIMIT_S)
    text, descriptors, _, _ = socket.recv_fds(connection, 65536, 4)
    state = json.loads(text.decode().rstrip("\0"))
    same(state["metadata"], "meta")
    same(state["state"]["id"], c.id)
    has(state["fds"], "seccompFd")
    # struct seccomp_notif: id, pid, flags, then struct seccomp_data; struct seccomp_notif_resp: id, val, error, flags
    notification = bytearray(80)
    fcntl.ioctl(descriptors[0], 0xC0502100, notification, True)
    call, = struct.unpack_from("Q", notification)
    fcntl.ioctl(descriptors[0], 0xC0182101, bytearray(struct.pack("QqiI", call, 0, -28, 0)), True)
    eventually(lambda: c.file("tmp/err").exists() and "No space" in c.file("tmp/err").read_text(), "our answer is its error")


# ---- the rest ----

@check("personality: LINUX32")
def _(c):
    c.linux["personality"] = {"domain": "LINUX32"}
    same(c.out("cat /proc/self/personality"), "00000008")


@check("personality: an unknown domain is an error")
def _(c):
    c.linux["personality"] = {"domain": "NOSUCH"}
    c.create_refused()


@check("the workload is not dumpable by, and cannot see, the host's processes")
def _(c):
    must(int(c.out("ls /proc | grep -c '^[0-9]'")) <= 4, "more processes than its own")
