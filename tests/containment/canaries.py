# SPDX-License-Identifier: Apache-2.0
"""What containment probes are after, laid out on the host: files, a process, listeners, keys, memory, settings of the
kernel. Afterwards touched() says what of it is no longer as it was, and puts kernel settings back."""
import contextlib
import ctypes
import fcntl
import hashlib
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import tempfile
import termios
import tty

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_ADD_KEY, SYS_KEYCTL, SYS_NAME_TO_HANDLE_AT = 248, 250, 303  # x86-64
USER_KEYRING, KEYCTL_READ, KEYCTL_INVALIDATE = -4, 11, 21
IPC_CREAT, IPC_RMID, SHM_SIZE = 0o1000, 0, 4096
PAGE_CACHE_BYTES = 560 << 20  # beyond what `strict` gives

# Settings of the kernel that a probe would change, and the probe.
SYSCTLS = {
    "/proc/sys/kernel/core_pattern": "core-pattern",
    "/proc/sys/kernel/modprobe": "modprobe-path",
    "/sys/kernel/uevent_helper": "uevent-helper",
    "/proc/sys/vm/overcommit_ratio": "sysctl",
    "/proc/sys/kernel/hostname": "set-host-name",
}


def text_of(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError as error:
        return error.strerror


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def listing(folder):
    return sorted(f"{path.relative_to(folder)} {path.lstat().st_mode:o}" for path in pathlib.Path(folder).rglob("*"))


def file_handle(path):
    """TYPE:HEX, as open_by_handle_at wants it, or "" where the file system has none."""
    class Handle(ctypes.Structure):
        _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]
    handle, mount = Handle(size=128), ctypes.c_int()
    if LIBC.syscall(SYS_NAME_TO_HANDLE_AT, -100, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount), 0) != 0:
        return ""
    return f"{handle.type}:{bytes(handle.bytes[:handle.size]).hex()}"


def own_address():
    """An IPv4 address of this machine other than its loopback, or "". Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 53))
        except OSError:
            return ""
        return probe.getsockname()[0]


def release_agents():
    return {str(path): text_of(path) for path in pathlib.Path("/sys/fs/cgroup").glob("*/release_agent")}


def command_lines():
    """(pid, command line) of every process."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                line = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes()
                yield int(entry), line.replace(b"\0", b" ").decode(errors="replace")


class Canaries(contextlib.ExitStack):
    """work/share and work/fixed are the volumes, work/secret is beside them; all is gone at the end."""

    def __init__(self, probes, image_file=None):
        super().__init__()
        self.token = "canary" + os.urandom(8).hex()
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="bivalve-probes.")).resolve()
        self.callback(shutil.rmtree, self.work, ignore_errors=True)
        self.watched = [*filter(None, [image_file])]
        try:
            self.make_files(probes, image_file)
            self.make_process()
            self.make_sockets()
            self.make_shared()
            self.make_terminal()
        except BaseException:
            self.close()
            raise
        self.before = self.look()

    def make_files(self, probes, image_file):
        for name in ("share", "fixed", "beside", "third", "run"):
            (self.work / name).mkdir()
        self.share, self.fixed = self.work / "share", self.work / "fixed"
        (self.work / "secret").write_text(f"{self.token}\n")
        (self.share / "locked").touch()
        (self.share / "link").symlink_to(self.work / "beside")
        for name, mode in (("probes", 0o755), ("set-user-id", 0o4755)):
            shutil.copy(probes, self.fixed / name)
            (self.fixed / name).chmod(mode)
        with open(self.fixed / "sparse", "wb") as sparse:
            sparse.truncate(PAGE_CACHE_BYTES)
        for path in filter(None, [self.share / "locked", image_file]):
            lock = self.enter_context(open(path, "rb"))
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self.work.chmod(0o755)
        self.share.chmod(0o1777)  # under `strict`, root is somebody else

    def make_process(self):
        self.process = subprocess.Popen([self.token, "infinity"], executable=shutil.which("sleep"))
        self.callback(lambda: (self.process.kill(), self.process.wait()))

    def make_sockets(self):
        self.address, self.listeners = own_address(), {}
        loopback = self.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = loopback.getsockname()[1]
        self.listeners["host-loopback"] = loopback
        if self.address:
            self.listeners["host-address"] = self.enter_context(socket.create_server((self.address, self.port)))
        abstract = self.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind("\0" + self.token)
        abstract.listen()
        self.listeners["abstract-socket"] = abstract
        for listener in self.listeners.values():
            listener.setblocking(False)

    def make_terminal(self):
        """What a person would sit at, raw so that each byte counts."""
        self.master, self.terminal = os.openpty()
        self.callback(lambda: (os.close(self.master), os.close(self.terminal)))
        tty.setraw(self.terminal)

    def planted_owner(self):
        """The owner of the program that plant-setuid left with that bit, or None."""
        with contextlib.suppress(OSError):
            status = (self.share / "planted").stat()
            return status.st_uid if status.st_mode & stat.S_ISUID else None

    def make_shared(self):
        content = self.token.encode()
        self.key = LIBC.syscall(SYS_ADD_KEY, b"user", content, content, len(content), USER_KEYRING)
        if self.key > 0:
            self.callback(LIBC.syscall, SYS_KEYCTL, KEYCTL_INVALIDATE, self.key)
        self.shm_key = int.from_bytes(os.urandom(3), "big") | 1
        segment = LIBC.shmget(self.shm_key, SHM_SIZE, IPC_CREAT | 0o600)
        if segment < 0:
            raise OSError(ctypes.get_errno(), "shmget")
        self.callback(LIBC.shmctl, segment, IPC_RMID, None)
        LIBC.shmat.restype = ctypes.c_void_p
        self.memory = LIBC.shmat(segment, None, 0)
        self.callback(lambda: LIBC.shmdt(ctypes.c_void_p(self.memory)))
        ctypes.memmove(self.memory, content, len(content))

    def settings(self, on, timid=False, victim=0, share="/share", fixed="/fixed"):
        """Writes what the probes are told; its path there."""
        namespaces = {f"{key}": os.readlink(f"/proc/self/ns/{name}") for key, name in
                      (("mnt", "mnt"), ("net", "net"), ("pid_ns", "pid"), ("user", "user"))}
        secret = self.work / "secret"
        values = dict(namespaces, on=on, token=self.token, file=secret, handle=file_handle(secret), address=self.address,
                      share=share, fixed=fixed, pid=self.process.pid, victim=victim, port=self.port, shm=self.shm_key,
                      key=max(self.key, 0), disk=os.stat(self.work).st_dev, timid=int(timid))
        (self.fixed / "settings").write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        return f"{fixed}/settings"

    def look(self):
        """{what: (probe or "", value)}: all that must stay as it is."""
        seen = {path: (probe, text_of(path)) for path, probe in SYSCTLS.items()}
        seen.update({path: ("release-agent", text) for path, text in release_agents().items()})
        seen["the secret file"] = "", text_of(self.work / "secret")
        seen["the read-only volume"] = "write-fixed-volume", [entry for entry in listing(self.fixed)
                                                              if not entry.startswith("settings ")]
        seen["the folder beside"] = "symlinked-mount-target", listing(self.work / "beside")
        seen["mounts"] = "", [line for line in text_of("/proc/self/mountinfo").splitlines()
                              if str(self.work) in line]
        seen["/proc/sys/fs/binfmt_misc"] = "binfmt-misc", sorted(os.listdir("/proc/sys/fs/binfmt_misc"))
        seen["the root folder"] = "", sorted({"flood", "written"} & set(os.listdir("/")))
        seen["System V memory"] = "attach-host-memory", ctypes.string_at(self.memory, len(self.token)).decode()
        seen["the process"] = "signal-host-process", self.process.poll()
        seen["nodes in the volume"] = "mknod-disk", [path.name for path in self.share.iterdir()
                                                     if stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFBLK, stat.S_IFCHR)]
        seen["the terminal"] = "host-terminal", fcntl.ioctl(self.terminal, termios.FIONREAD, bytes(4))
        for path in self.watched:
            seen[f"{path.name}"] = "write-image" if path.name == "busybox" else "overwrite-launcher", digest(path)
        return seen

    def watch(self, path):
        self.watched.append(pathlib.Path(path))
        self.before = self.look()

    def touched(self):
        """[(what, probe)] that changed since; kernel settings are put back, listeners emptied."""
        now = self.look()
        changed = [(what, probe) for what, (probe, value) in now.items()
                   if self.before.get(what, (probe, None))[1] != value]
        for what, _ in changed:
            if what in SYSCTLS or what in release_agents():
                with contextlib.suppress(OSError):
                    pathlib.Path(what).write_text(self.before[what][1])
        for probe, listener in self.listeners.items():
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
                changed.append(("a listener of the host was reached", probe))
        return changed
