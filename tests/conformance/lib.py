# SPDX-License-Identifier: Apache-2.0
"""What a check is made of: a bundle of its own, the runtime's verbs on it, and words to say what must be true.

A check is a function of one Case, marked @check("what must hold"); it returns when that holds and raises Failed, or
Unable when this host cannot show it. Nothing but the runtime specification and the command line that crun and runc
share is asked of a runtime.
"""
import copy
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LIMIT_S = float(os.environ.get("CONFORMANCE_LIMIT", "20"))
CHECKS = []
CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID",
        "CAP_KILL", "CAP_SYS_CHROOT"]
CONFIG = {
    "ociVersion": "1.0.2",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["true"],
        "env": ["PATH=/bin", "TERM=dumb"],
        "cwd": "/",
        "capabilities": {"bounding": CAPS, "effective": CAPS, "permitted": CAPS},
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs"},
    "hostname": "conformance",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ],
    "linux": {
        "namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount", "network")],
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/scsi"],
        "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
    },
}


class Failed(Exception):
    """The runtime does not do what it must."""


class Unable(Exception):
    """This host cannot show it."""


def check(title):
    def mark(function):
        CHECKS.append((title, function))
        return function
    return mark


def must(condition, message):
    if not condition:
        raise Failed(message)


def same(seen, wanted, what=""):
    must(seen == wanted, f"{what or 'seen'}: {seen!r}, and it must be {wanted!r}")


def has(text, part):
    must(part in text, f"{part!r} is not in {text!r}")


def eventually(condition, what):
    """Until condition() is true."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        must(time.monotonic() < end, f"never came true: {what}")
        time.sleep(0.01)


class Done:
    """How a command ended."""
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}, output {self.out[-300:]!r}, error {self.err[-300:]!r}"


class Case:
    """One bundle and its container. `config` is changed before the first verb."""
    count = 0

    def __init__(self, runtime, work, rootfs):
        Case.count += 1
        self.runtime, self.dir = runtime, pathlib.Path(tempfile.mkdtemp(dir=work))
        self.dir.chmod(0o755)
        self.bundle, self.state_root = self.dir / "bundle", self.dir / "state"
        self.bundle.mkdir()
        self.rootfs = self.bundle / "rootfs"
        subprocess.run(["cp", "-al", rootfs, self.rootfs], check=True)
        self.id = f"conformance-{os.getpid()}-{Case.count}"
        self.cgroup = f"/{self.id}"
        self.config = copy.deepcopy(CONFIG)
        self.config["linux"]["cgroupsPath"] = self.cgroup
        self.ids, self.children = [self.id], []

    # ---- the configuration ----

    @property
    def process(self):
        return self.config["process"]

    @property
    def linux(self):
        return self.config["linux"]

    def sh(self, script):
        self.process["args"] = ["sh", "-c", script]
        return self

    def capable(self, *names):
        for kind in ("bounding", "effective", "permitted"):
            self.process["capabilities"][kind] = self.process["capabilities"][kind] + list(names)

    def namespace(self, kind, path=None):
        """A new one, or that of path; with path False none at all."""
        rest = [n for n in self.linux["namespaces"] if n["type"] != kind]
        self.linux["namespaces"] = rest + ([] if path is False else [{"type": kind, **({"path": path} if path else {})}])

    def mount(self, destination, kind, source, *options):
        self.config["mounts"].append({"destination": destination, "type": kind, "source": str(source),
                                      "options": list(options)})

    def hook(self, stage, script, **more):
        self.config.setdefault("hooks", {}).setdefault(stage, []).append(
            {"path": "/bin/sh", "args": ["sh", "-c", script], **more})

    def write(self):
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    # ---- the verbs ----

    def call(self, *args, stdin=None, cwd=None, env=None, pass_fds=(), limit_s=None):
        """The runtime with these arguments. Files, not pipes, take the output: a container may keep them open."""
        with tempfile.TemporaryFile(dir=self.dir) as out, tempfile.TemporaryFile(dir=self.dir) as err:
            command = [self.runtime, "--root", str(self.state_root), *map(str, args)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                                       stdout=out, stderr=err, cwd=cwd or self.dir, env=env, pass_fds=pass_fds)
            try:
                process.communicate(stdin.encode() if stdin is not None else None, timeout=limit_s or LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise Failed(f"{' '.join(map(str, args))}: did not end in time") from None
            out.seek(0)
            err.seek(0)
            return Done(process.returncode, out.read().decode(errors="replace"), err.read().decode(errors="replace"))

    def ok(self, *args, **more):
        done = self.call(*args, **more)
        must(done.status == 0, f"{' '.join(map(str, args))}: {done}")
        return done

    def refused(self, *args, **more):
        done = self.call(*args, **more)
        must(done.status != 0, f"{' '.join(map(str, args))}: must be an error: {done}")
        must(done.err.strip(), f"{' '.join(map(str, args))}: an error without a word on standard error")
        return done

    def run(self, *options, **more):
        """Creates, starts, waits and deletes: the workload's status and output."""
        self.write()
        return self.call("run", "--bundle", self.bundle, *options, self.id, **more)

    def out(self, script=None):
        """What the script prints; it must end well."""
        if script:
            self.sh(script)
        done = self.run()
        must(done.status == 0, f"run: {done}")
        return done.out.rstrip("\n")

    def create(self, *options, **more):
        self.write()
        return self.ok("create", "--bundle", self.bundle, *options, self.id, **more)

    def create_refused(self, *options, **more):
        self.write()
        done = self.refused("create", "--bundle", self.bundle, *options, self.id, **more)
        must(self.call("state", self.id).status != 0, "the container that could not be created is there")
        return done

    def start(self):
        return self.ok("start", self.id)

    def up(self, script="sleep 1000"):
        """A running container."""
        self.sh(script)
        self.create()
        self.start()
        return self

    def state(self):
        return json.loads(self.ok("state", self.id).out)

    def status(self):
        return self.state()["status"]

    def stopped(self):
        eventually(lambda: self.status() == "stopped", "status stopped")

    def kill(self, *signals):
        return self.ok("kill", self.id, *signals)

    def exec(self, *args, options=(), **more):
        return self.call("exec", *options, self.id, *args, **more)

    def exec_out(self, script, *options):
        done = self.exec("sh", "-c", script, options=options)
        must(done.status == 0, f"exec: {done}")
        return done.out.rstrip("\n")

    # ---- around it ----

    def file(self, name):
        return self.rootfs / name

    def host(self, name):
        """A file of the host, outside the bundle."""
        return self.dir / name

    def sleeper(self, *unshare):
        """A process in namespaces of its own, to join those: its pid."""
        child = subprocess.Popen(["unshare", *unshare, "sleep", "1000"], stdin=subprocess.DEVNULL)
        self.children.append(child)
        eventually(lambda: pathlib.Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n", "the sleeper sleeps")
        return child.pid

    def close(self):
        for name in self.ids:
            try:
                self.call("delete", "--force", name)
            except Failed:
                pass
        for child in self.children:
            child.kill()
            child.wait()
        for path in sorted(self.mounts_below(), key=len, reverse=True):
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
        for path in cgroup_dirs(self.id):
            try:
                os.rmdir(path)
            except OSError:
                pass

    def mounts_below(self):
        lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        return [line.split()[4] for line in lines if line.split()[4].startswith(f"{self.dir}/")]


def cgroup_dirs(name):
    """The control groups of that name in every hierarchy, deepest first."""
    roots = [line.split()[4] for line in open("/proc/self/mountinfo") if line.split(" - ")[1].startswith("cgroup")]
    found = []
    for root in set(roots):
        for base, dirs, _ in os.walk(root):
            found += [os.path.join(base, d) for d in dirs if d == name or f"/{name}/" in f"{base}/{d}/"]
    return sorted(set(found), key=len, reverse=True)


def is_v2():
    return os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def cgroup_file(case, controller, name):
    """The text of a control group's file, on either version."""
    path = pathlib.Path("/sys/fs/cgroup", "" if is_v2() else controller, case.cgroup.lstrip("/"), name)
    if not path.parent.parent.is_dir():
        raise Unable(f"this host has no {controller} controller")
    must(path.parent.is_dir(), f"no control group at {path.parent}")
    if not path.exists():
        raise Unable(f"this kernel has no {name}")
    return path.read_text().strip()


class Console:
    """The socket that a runtime sends a terminal to."""
    def __init__(self, case):
        self.path = str(case.dir / "console.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(4)
        self.listener.settimeout(LIMIT_S)

    def receive(self):
        connection, _ = self.listener.accept()
        connection.settimeout(LIMIT_S)
        _, descriptors, _, _ = socket.recv_fds(connection, 4096, 4)
        must(descriptors, "no descriptor came over the console socket")
        must(os.isatty(descriptors[0]), "what came over the console socket is no terminal")
        return descriptors[0]


def read_until(descriptor, part):
    """What a terminal shows, up to and with part."""
    seen, end = b"", time.monotonic() + LIMIT_S
    os.set_blocking(descriptor, False)
    while part.encode() not in seen:
        must(time.monotonic() < end, f"{part!r} never came, but {seen!r}")
        try:
            data = os.read(descriptor, 4096)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        except OSError:
            raise Failed(f"the terminal ended after {seen!r}") from None
        seen += data
    return seen.decode()


def flags_of(mountinfo, destination):
    """The options, super options and optional fields of the last mount at destination, from /proc/self/mountinfo."""
    for line in reversed(mountinfo.splitlines()):
        fields = line.split()
        if len(fields) > 6 and fields[4] == destination:
            dash = fields.index("-")
            return set(fields[5].split(",")), set(fields[dash + 3].split(",")), fields[6:dash]
    raise Failed(f"nothing is mounted at {destination}")


__all__ = [name for name in globals() if not name.startswith("_")]
