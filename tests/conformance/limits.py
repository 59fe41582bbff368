# SPDX-License-Identifier: Apache-2.0
"""config-linux.md, control groups: where they are, each resource in its file, what binds; and update."""
import json
import os

from lib import *

MIB = 1 << 20
# resources, then where it shows: (v1 controller, file, value), (v2 controller, file, value); None: not on that version
RESOURCES = [
    ("memory.limit", {"memory": {"limit": 64 * MIB}}, ("memory", "memory.limit_in_bytes", str(64 * MIB)),
     ("memory", "memory.max", str(64 * MIB))),
    ("memory.reservation", {"memory": {"limit": 64 * MIB, "reservation": 32 * MIB}},
     ("memory", "memory.soft_limit_in_bytes", str(32 * MIB)), ("memory", "memory.low", str(32 * MIB))),
    ("memory.swap", {"memory": {"limit": 64 * MIB, "swap": 96 * MIB}},
     ("memory", "memory.memsw.limit_in_bytes", str(96 * MIB)), ("memory", "memory.swap.max", str(32 * MIB))),
    ("memory.swappiness", {"memory": {"limit": 64 * MIB, "swappiness": 10}}, ("memory", "memory.swappiness", "10"), None),
    ("memory.disableOOMKiller", {"memory": {"limit": 64 * MIB, "disableOOMKiller": True}},
     ("memory", "memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 0"), None),
    ("memory.limit -1 is unlimited", {"memory": {"limit": -1}}, ("memory", "memory.limit_in_bytes", "9223372036854771712"),
     ("memory", "memory.max", "max")),
    ("cpu.shares", {"cpu": {"shares": 512}}, ("cpu", "cpu.shares", "512"), ("cpu", "cpu.weight", "20")),
    ("cpu.quota and period", {"cpu": {"quota": 20000, "period": 50000}}, ("cpu", "cpu.cfs_quota_us", "20000"),
     ("cpu", "cpu.max", "20000 50000")),
    ("cpu.period", {"cpu": {"quota": 20000, "period": 50000}}, ("cpu", "cpu.cfs_period_us", "50000"), None),
    ("cpu.cpus", {"cpu": {"cpus": "0", "mems": "0"}}, ("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.cpus", "0")),
    ("cpu.mems", {"cpu": {"cpus": "0", "mems": "0"}}, ("cpuset", "cpuset.mems", "0"), ("cpuset", "cpuset.mems", "0")),
    ("pids.limit", {"pids": {"limit": 42}}, ("pids", "pids.max", "42"), ("pids", "pids.max", "42")),
    ("pids.limit -1 is unlimited", {"pids": {"limit": -1}}, ("pids", "pids.max", "max"), ("pids", "pids.max", "max")),
    ("blockIO.weight", {"blockIO": {"weight": 200}}, ("blkio", "blkio.bfq.weight", "200"), ("io", "io.bfq.weight",
                                                                                        "default 200")),
    ("blockIO.throttleReadBpsDevice", {"blockIO": {"throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": MIB}]}},
     ("blkio", "blkio.throttle.read_bps_device", f"254:0 {MIB}"), None),
    ("blockIO.throttleWriteIOPSDevice", {"blockIO": {"throttleWriteIOPSDevice": [{"major": 254, "minor": 0, "rate": 99}]}},
     ("blkio", "blkio.throttle.write_iops_device", "254:0 99"), None),
    ("hugepageLimits", {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
     ("hugetlb", "hugetlb.2MB.limit_in_bytes", str(4 * MIB)), ("hugetlb", "hugetlb.2MB.max", str(4 * MIB))),
]
for title, resources, *places in RESOURCES:
    @check(f"resources: {title}")
    def _(c, resources=resources, places=places):
        place = places[1 if is_v2() else 0]
        if not place:
            raise Unable("not on this version of control groups")
        if place[0] not in open("/proc/cgroups").read() or not os.path.isdir(f"/sys/fs/cgroup/{place[0]}") and not is_v2():
            raise Unable(f"this host has no {place[0]} controller")
        if "254" in place[2] and not os.path.exists("/sys/dev/block/254:0"):
            raise Unable("this host has no device 254:0")
        c.linux["resources"] = resources
        c.up()
        same(cgroup_file(c, place[0], place[1]), place[2])


@check("resources: the group is at cgroupsPath, with every process in it")
def _(c):
    c.up()
    groups = [line.split(":", 2)[1:] for line in open(f"/proc/{c.state()['pid']}/cgroup").read().splitlines()]
    found = [controllers for controllers, path in groups if path == c.cgroup]
    wanted = [""] if is_v2() else ["memory", "pids"]
    for name in wanted:
        must(any(name in controllers.split(",") for controllers in found), f"{name} is not in {c.cgroup}: {groups}")


@check("resources: a cgroupsPath of several levels; its last is gone after delete")
def _(c):
    c.cgroup = f"/{c.id}/deep/er"
    c.linux["cgroupsPath"] = c.cgroup
    c.up()
    must(c.cgroup in open(f"/proc/{c.state()['pid']}/cgroup").read(), "it is not there")
    c.ok("delete", "--force", c.id)
    must(not [d for d in cgroup_dirs(c.id) if d.endswith("/er")], "it is left")


@check("resources: without a cgroupsPath it still is in groups of its own")
def _(c):
    del c.linux["cgroupsPath"]
    c.linux["resources"] = {"pids": {"limit": 42}}
    c.up()
    pids = [line for line in open(f"/proc/{c.state()['pid']}/cgroup") if ":pids:" in line or line.startswith("0::")]
    own = [line for line in open("/proc/self/cgroup") if ":pids:" in line or line.startswith("0::")]
    must(pids[0] != own[0], f"it is in the caller's: {pids[0]}")


@check("resources: the memory limit kills")
def _(c):
    c.linux["resources"] = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}
    c.sh("(x=0123456789abcdef; while :; do x=$x$x; done); echo $?")
    has(c.run().out, "137")


@check("resources: the pids limit binds")
def _(c):
    c.linux["resources"] = {"pids": {"limit": 5}}
    c.sh("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo all")
    done = c.run()
    must("all" not in done.out, f"eight were made: {done}")


@check("resources: unified on version 1 is an error")
def _(c):
    if is_v2():
        raise Unable("this host has version 2")
    c.linux["resources"] = {"unified": {"memory.max": "1000000"}}
    c.create_refused()


@check("resources: a value that the kernel refuses is an error, and nothing is left")
def _(c):
    c.linux["resources"] = {"cpu": {"cpus": "4096"}}
    c.create_refused()
    must(not cgroup_dirs(c.id), "control groups are left")


# options, resources in a file, where it then shows
UPDATES = [
    (["--memory", str(96 * MIB)], {"memory": {"limit": 96 * MIB}}, ("memory", "memory.limit_in_bytes", str(96 * MIB)),
     ("memory", "memory.max", str(96 * MIB))),
    (["--pids-limit", "77"], {"pids": {"limit": 77}}, ("pids", "pids.max", "77"), ("pids", "pids.max", "77")),
    (["--cpu-share", "2048"], {"cpu": {"shares": 2048}}, ("cpu", "cpu.shares", "2048"), ("cpu", "cpu.weight", "79")),
    (["--cpu-quota", "30000", "--cpu-period", "60000"], {"cpu": {"quota": 30000, "period": 60000}},
     ("cpu", "cpu.cfs_quota_us", "30000"), ("cpu", "cpu.max", "30000 60000")),
    (["--cpuset-cpus", "0"], {"cpu": {"cpus": "0"}}, ("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.cpus", "0")),
]
for options, resources, *places in UPDATES:
    @check(f"update {options[0]}: of a running container")
    def _(c, options=options, places=places):
        c.up()
        c.ok("update", *options, c.id)
        same(cgroup_file(c, *places[is_v2()][:2]), places[is_v2()][2])

    @check(f"update --resources: {json.dumps(resources)}")
    def _(c, resources=resources, places=places):
        c.up()
        c.host("resources.json").write_text(json.dumps(resources))
        c.ok("update", "--resources", c.host("resources.json"), c.id)
        same(cgroup_file(c, *places[is_v2()][:2]), places[is_v2()][2])


@check("update --resources -: from standard input")
def _(c):
    c.up()
    c.ok("update", "--resources", "-", c.id, stdin='{"pids": {"limit": 55}}')
    same(cgroup_file(c, "pids", "pids.max"), "55")


@check("update: leaves what it does not name as it is")
def _(c):
    c.linux["resources"] = {"pids": {"limit": 33}}
    c.up()
    c.ok("update", "--memory", str(96 * MIB), c.id)
    same(cgroup_file(c, "pids", "pids.max"), "33")
