# SPDX-License-Identifier: Apache-2.0
"""A microVM of QEMU's without bivalve around it: the command line of engine qemu, the agent's socket, and the first
and the last word of its protocol. For the benchmarks that compare with QEMU or look into it."""
import contextlib
import json
import os
import pathlib
import socket
import struct
import subprocess
import tempfile

HELLO, SHUTDOWN = 1, 13


def initramfs(bivalve, store, record):
    """The initramfs of a kernel's import and of the guest's init as it is now: kernel_initramfs() names it so. Only a
    launch makes it, and only the first."""
    guest = (pathlib.Path(bivalve).parent / "bivalve-guest").stat()
    path = pathlib.Path(store) / "initramfs" / (
        f"{record['name']}@{record['created_ns']:x}-{guest.st_size:x}-{guest.st_mtime_ns // 10**9:x}."
        f"{guest.st_mtime_ns % 10**9:x}-{guest.st_ino:x}.cpio")
    if not path.exists():
        subprocess.run([str(bivalve), "launch", "--vm", "--engine", "qemu", "--start", "cold", "busybox", "true"],
                       check=True, env=dict(os.environ, BIVALVE_STORE=str(store)))
    if not path.exists():
        raise RuntimeError(f"a launch did not make {path}: vm-backend/kernel/initramfs.c names it otherwise")
    return path


def plan(bivalve, store):
    """What `launch` would run: the files of kernel, initramfs and disk, and whether the kernel has no ACPI."""
    out = json.loads(subprocess.run([str(bivalve), "plan", "--vm", "busybox", "true"], check=True,
                                    stdout=subprocess.PIPE, text=True,
                                    env=dict(os.environ, BIVALVE_STORE=str(store))).stdout)
    kernel = out["vm"]["kernel"]
    record = json.loads((pathlib.Path(out["vm"]["kernel_path"]).parent / "kernel.json").read_text())
    lean = record.get("no_acpi", False)
    path = out["vm"]["vmlinux_path"] if lean and "vmlinux_path" in out["vm"] else out["vm"]["kernel_path"]
    return {"name": kernel, "kernel": path, "initramfs": str(initramfs(bivalve, store, record)), "disk": out["root"]["disk"], "lean": lean}


def machine(files, initrd, words, accel, cpu, memory):
    """What both machines have."""
    acpi = "off" if files["lean"] else "on"
    return [
        "qemu-system-x86_64", "-M", f"microvm,acpi={acpi},pit=on,pic=on,rtc=on,x-option-roms=off", "-nodefaults",
        "-no-user-config", "-no-reboot", "-display", "none", "-global", "virtio-mmio.force-legacy=false",
        "-accel", accel, "-cpu", cpu, "-smp", "1", "-m", memory, "-kernel", files["kernel"], "-initrd",
        initrd, "-append", words]


def disk(files):
    return ["-blockdev", f"driver=raw,node-name=disk0,read-only=on,file.driver=file,file.filename={files['disk']},"
            "file.locking=off,file.read-only=on", "-device", "virtio-blk-device,drive=disk0"]


def command(files, fd, words, accel, cpu, memory="256M"):
    """QEMU's arguments; fd is the guest's end of the agent's channel. The options are those of vm-backend/engine_qemu.c."""
    return [
        *machine(files, files["initramfs"], words, accel, cpu, memory),
        "-object", "rng-builtin,id=rng", "-device", "virtio-rng-device,rng=rng",
        "-chardev", f"socket,id=agent,fd={fd}", "-device", "virtio-serial-device,max_ports=2",
        "-device", "virtserialport,chardev=agent,name=org.bivalve.agent",
        *disk(files), "-serial", "null"]


def newc(entries):
    """An initramfs: (name, mode, bytes) of each file, folder and the like."""
    out = b""
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        head = "070701" + "".join(f"{value:08x}" for value in (
            number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
        out += head.encode() + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return out


def plain_initramfs(path):
    """Compiles bench/plain_init.c and writes an initramfs with nothing but it."""
    here = pathlib.Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory(prefix="bivalve-bench.") as folder:
        subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu17", "-O2", "-static", "-s", "-o", f"{folder}/init",
                        str(here / "plain_init.c")], check=True)
        init = pathlib.Path(folder, "init").read_bytes()
    pathlib.Path(path).write_bytes(newc([("dev", 0o40755, b""), ("root", 0o40755, b""), ("init", 0o100755, init)]))
    return str(path)


def plain_command(files, words, accel, cpu, memory="256M"):
    """QEMU's arguments for a machine put together by hand: a kernel, an initramfs, the image's disk, and no more."""
    return [*machine(files, files["plain"], words, accel, cpu, memory), *disk(files), "-serial", "stdio"]


def await_hello(channel):
    """The agent's first word."""
    if struct.unpack("<IB3x", channel.recv(8, socket.MSG_WAITALL))[1] != HELLO:
        raise RuntimeError("the guest did not say HELLO")


def say_shutdown(channel):
    channel.sendall(struct.pack("<IB3x", 0, SHUTDOWN))


@contextlib.contextmanager
def running(make_command, **options):
    """Runs make_command(fd) and yields the process and the host's end of the channel; kills what is left."""
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen(make_command(theirs.fileno()), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                                **options) as process:
        theirs.close()
        ours.settimeout(120)
        try:
            yield process, ours
        finally:
            process.kill()
