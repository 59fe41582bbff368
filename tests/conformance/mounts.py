# SPDX-License-Identifier: Apache-2.0
"""config.md, mounts and root; config-linux.md, devices, default devices, rootfsPropagation."""
import os
import stat
import subprocess

from lib import *

MOUNTINFO = "cat /proc/self/mountinfo"
# The option, the flag that must then show, and whether it is the mount's own (else the file system's).
OPTIONS = [("ro", "ro"), ("nosuid", "nosuid"), ("nodev", "nodev"), ("noexec", "noexec"), ("noatime", "noatime"),
           ("nodiratime", "nodiratime"), ("relatime", "relatime")]
for option, flag in OPTIONS:
    @check(f"mounts: tmpfs with {option}")
    def _(c, option=option, flag=flag):
        c.mount("/mnt", "tmpfs", "tmpfs", option)
        has(flags_of(c.out(MOUNTINFO), "/mnt")[0], flag)

    @check(f"mounts: bind with {option}")
    def _(c, option=option, flag=flag):
        c.host("d").mkdir()
        c.mount("/mnt", "bind", c.host("d"), "rbind", option)
        has(flags_of(c.out(MOUNTINFO), "/mnt")[0], flag)

for option, clear in (("rw", "ro"), ("suid", "nosuid"), ("dev", "nodev"), ("exec", "noexec"), ("atime", "noatime")):
    @check(f"mounts: {option} takes {clear} back")
    def _(c, option=option, clear=clear):
        c.mount("/mnt", "tmpfs", "tmpfs", clear, option)
        must(clear not in flags_of(c.out(MOUNTINFO), "/mnt")[0], f"{clear} is still there")

for option, field in (("private", []), ("shared", ["shared"]), ("slave", []), ("unbindable", ["unbindable"]),
                      ("rprivate", []), ("rshared", ["shared"]), ("rslave", [])):
    @check(f"mounts: propagation {option}")
    def _(c, option=option, field=field):
        c.mount("/mnt", "tmpfs", "tmpfs", option)
        same([f.split(":")[0] for f in flags_of(c.out(MOUNTINFO), "/mnt")[2]], field)

for option in ("ro", "nosuid", "nodev", "noexec", "noatime"):
    @check(f"mounts: recursive r{option}: what is mounted below has it too")
    def _(c, option=option):
        nested(c)
        c.mount("/mnt", "bind", c.host("d"), "rbind", f"r{option}")
        seen = c.out(MOUNTINFO)
        has(flags_of(seen, "/mnt")[0], option)
        has(flags_of(seen, "/mnt/below")[0], option)


def nested(c):
    """host/d with a tmpfs at host/d/below, in which there is a file."""
    (c.host("d") / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", c.host("d") / "below"], check=True)
    (c.host("d") / "below/file").touch()


@check("mounts: bind is not recursive, rbind is")
def _(c):
    nested(c)
    c.mount("/one", "bind", c.host("d"), "bind")
    c.mount("/all", "bind", c.host("d"), "rbind")
    same(c.out("ls /one/below; ls /all/below"), "file")


@check("mounts: a bind mount is of the host's folder itself")
def _(c):
    c.host("d").mkdir()
    c.mount("/mnt", "bind", c.host("d"), "rbind", "rw")
    c.out("echo inside > /mnt/f")
    same((c.host("d") / "f").read_text(), "inside\n")


@check("mounts: options bind alone make a bind mount, whatever the type")
def _(c):
    c.host("f").write_text("x\n")
    c.mount("/etc/f", "none", c.host("f"), "bind")
    same(c.out("cat /etc/f"), "x")


@check("mounts: bind of a file; the destination and its folders are made")
def _(c):
    c.host("f").write_text("x\n")
    c.mount("/made/for/it", "bind", c.host("f"), "bind", "ro")
    same(c.out("cat /made/for/it; (echo y > /made/for/it) 2>/dev/null || echo refused"), "x\nrefused")


@check("mounts: a relative source is of the bundle")
def _(c):
    (c.bundle / "data").write_text("x\n")
    c.mount("/data", "bind", "data", "bind")
    same(c.out("cat /data"), "x")


@check("mounts: a source that does not exist is an error")
def _(c):
    c.mount("/mnt", "bind", c.host("nowhere"), "bind")
    c.create_refused()


@check("mounts: in the order given: the later one is on top")
def _(c):
    for name in ("a", "b"):
        c.host(name).mkdir()
        (c.host(name) / name).touch()
        c.mount("/mnt", "bind", c.host(name), "bind")
    same(c.out("ls /mnt"), "b")


@check("mounts: below an earlier one")
def _(c):
    c.mount("/mnt", "tmpfs", "tmpfs")
    c.mount("/mnt/a/b", "tmpfs", "tmpfs", "size=64k")
    same(c.out("grep -c ' /mnt' /proc/self/mountinfo"), "2")


@check("mounts: tmpfs: size and mode")
def _(c):
    c.mount("/mnt", "tmpfs", "tmpfs", "size=64k", "mode=1770")
    same(c.out("stat -c %a /mnt; df -k /mnt | tail -n 1 | awk '{ print $2 }'"), "1770\n64")


@check("mounts: tmpcopyup")
def _(c):
    c.file("data").mkdir()
    c.file("data/f").write_text("x\n")
    c.mount("/data", "tmpfs", "tmpfs", "tmpcopyup")
    same(c.out("cat /data/f; echo y > /data/f"), "x")
    same(c.file("data/f").read_text(), "x\n")


@check("mounts: an unknown file system is an error")
def _(c):
    c.mount("/mnt", "nosuchfs", "x")
    c.create_refused()


@check("mounts: an option that the file system does not know is an error")
def _(c):
    c.mount("/mnt", "tmpfs", "tmpfs", "nosuchoption=1")
    c.create_refused()


@check("mounts: a destination that is a link stays within the root")
def _(c):
    c.host("outside").mkdir()
    c.file("link").symlink_to(c.host("outside"))
    c.host("d").mkdir()
    (c.host("d") / "f").write_text("x\n")
    c.mount("/link", "bind", c.host("d"), "bind")
    done = c.sh("cat /link/f").run()
    must(done.status or done.out == "x\n", f"neither an error nor mounted: {done}")
    same(list(c.host("outside").iterdir()), [])


@check("mounts: none of them is seen by the host, and none is left")
def _(c):
    c.mount("/mnt", "tmpfs", "tmpfs", "rshared")
    c.up()
    same([line for line in open("/proc/self/mountinfo") if str(c.host(".").resolve()) in line], [])


@check("mounts: idmap with mappings of its own")
def _(c):
    c.host("d").mkdir()
    (c.host("d") / "f").touch()
    c.mount("/mnt", "bind", c.host("d"), "rbind", "idmap")
    maps = [{"containerID": 0, "hostID": 1000, "size": 1}]
    c.config["mounts"][-1].update(uidMappings=maps, gidMappings=maps)
    same(c.out("stat -c %u:%g /mnt/f"), "1000:1000")


@check("mounts: idmap with the mappings of the user namespace")
def _(c):
    c.namespace("user")
    c.linux["uidMappings"] = c.linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    os.chown(c.rootfs, 100000, 100000)
    c.config["mounts"] = [m for m in c.config["mounts"] if m["destination"] != "/sys"]
    c.host("d").mkdir()
    (c.host("d") / "f").touch()
    c.mount("/mnt", "bind", c.host("d"), "rbind", "idmap")
    same(c.out("stat -c %u:%g /mnt/f"), "0:0")


@check("mounts: proc, sysfs, mqueue, devpts and shm are what they are called")
def _(c):
    seen = {line.split()[4]: line.split(" - ")[1].split()[0] for line in c.out(MOUNTINFO).splitlines()}
    same({k: seen.get(k) for k in ("/proc", "/sys", "/dev/mqueue", "/dev/pts", "/dev/shm")},
         {"/proc": "proc", "/sys": "sysfs", "/dev/mqueue": "mqueue", "/dev/pts": "devpts", "/dev/shm": "tmpfs"})


@check("mounts: cgroup: a read-only view of the control groups")
def _(c):
    c.namespace("cgroup")
    c.mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")
    c.sh("for d in /sys/fs/cgroup /sys/fs/cgroup/*; do test -e $d/cgroup.procs && echo there && break; done; "
         "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && exit; done; echo refused")
    same(c.run().out, "there\nrefused\n")


@check("mounts: the host's root is not reachable")
def _(c):
    c.host("secret").touch()
    same(c.out(f"test -e {c.host('secret')} || echo hidden; cd ../../..; pwd"), "hidden\n/")


# ---- root ----

@check("root.readonly")
def _(c):
    c.config["root"]["readonly"] = True
    same(c.out("touch /x 2>/dev/null || echo refused; has=$(grep -c . /etc/passwd); echo > /dev/shm/f && echo ok"),
         "refused\nok")


@check("root: writable otherwise, and what is written is in the bundle")
def _(c):
    c.out("echo x > /etc/written")
    same(c.file("etc/written").read_text(), "x\n")


for option, field in (("private", []), ("shared", ["shared"]), ("slave", ["master"]), ("unbindable", ["unbindable"])):
    @check(f"rootfsPropagation: {option}")
    def _(c, option=option, field=field):
        c.linux["rootfsPropagation"] = option
        c.sh(MOUNTINFO)
        if option == "slave":  # there must be something shared that it is the slave of
            subprocess.run(["mount", "--bind", c.dir, c.dir], check=True)
            subprocess.run(["mount", "--make-shared", c.dir], check=True)
        done = c.run()
        if option == "slave":
            subprocess.run(["umount", "-l", c.dir], check=True)
        must(done.status == 0, f"run: {done}")
        fields = [f.split(":")[0] for f in flags_of(done.out, "/")[2]]
        must([f for f in field if f not in fields] == [], f"{fields}, and it must have {field}")
        if not field:
            same(fields, [])


# ---- devices ----

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


@check("devices: the default ones, for everybody")
def _(c):
    seen = c.out("".join(f"stat -c '%n %F %a %t %T' /dev/{name};" for name in DEVICES)).splitlines()
    same(seen, [f"/dev/{name} character special file 666 {major:x} {minor:x}" for name, (major, minor) in DEVICES.items()])


@check("devices: ptmx, and the links to the descriptors")
def _(c):
    same(c.out("for n in fd stdin stdout stderr; do readlink /dev/$n; done; test -c /dev/ptmx && echo ptmx"),
         "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\nptmx")


@check("devices: one more, with its mode and owner")
def _(c):
    c.linux["devices"] = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8}]
    same(c.out("stat -c '%F %a %u %g %t %T' /dev/mine"), "character special file 640 7 8 1 3")


@check("devices: in a folder that is made, and a FIFO")
def _(c):
    c.linux["devices"] = [{"path": "/dev/a/b/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666},
                          {"path": "/dev/fifo", "type": "p", "fileMode": 0o600}]
    same(c.out("head -c 3 /dev/a/b/zero | wc -c; stat -c %F /dev/fifo"), "3\nfifo")


@check("devices: an unknown type is an error")
def _(c):
    c.linux["devices"] = [{"path": "/dev/x", "type": "z", "major": 1, "minor": 3}]
    c.create_refused()


def rules(c, *devices):
    c.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}, *devices]}


@check("devices: a rule that denies all leaves the default ones")
def _(c):
    rules(c)
    same(c.out("echo > /dev/null && head -c 1 /dev/zero | wc -c"), "1")


@check("devices: what no rule allows cannot be opened or made")
def _(c):
    c.capable("CAP_MKNOD")
    rules(c)
    c.linux["devices"] = [{"path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]
    same(c.out("(head -c 0 < /dev/fuse2) 2>/dev/null || echo refused; mknod /tmp/b b 7 0 2>/dev/null; "
               "(head -c 1 /tmp/b > /dev/null) 2>/dev/null || echo refused"), "refused\nrefused")


@check("devices: what a rule allows can be opened")
def _(c):
    c.capable("CAP_MKNOD")
    rules(c, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"})
    c.linux["devices"] = [{"path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]
    same(c.out("(: < /dev/fuse2) && echo opened"), "opened")


@check("devices: read-only access is no write")
def _(c):
    rules(c, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "r"})
    c.linux["devices"] = [{"path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]
    same(c.out("(: < /dev/fuse2) && echo opened; (: > /dev/fuse2) 2>/dev/null || echo refused"), "opened\nrefused")
