# SPDX-License-Identifier: Apache-2.0
"""Timing whole commands, interleaved: every round runs each command once, in random order."""
import os
import random
import statistics
import sys
import time


def once(command, env):
    """Wall and CPU milliseconds of one run; standard output is dropped. Exits if the command fails."""
    start = time.perf_counter_ns()
    pid = os.posix_spawn(command[0], command, env, file_actions=[
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    wall = (time.perf_counter_ns() - start) / 1e6
    if status:
        sys.exit(f"{' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}")
    return wall, (usage.ru_utime + usage.ru_stime) * 1e3


def interleaved(commands, runs, warmup=3, env=None):
    """commands: name -> argv. Returns name -> [(wall, cpu)…]."""
    env = env or dict(os.environ)
    samples = {name: [] for name in commands}
    for round_number in range(warmup + runs):
        names = list(commands)
        random.shuffle(names)
        for name in names:
            sample = once(commands[name], env)
            if round_number >= warmup:
                samples[name].append(sample)
    return samples


def table(samples, base):
    """Prints medians and, for each command, the ratio to base."""
    base_wall = statistics.median(w for w, _ in samples[base])
    base_cpu = statistics.median(c for _, c in samples[base])
    print(f"{'':28} {'wall min':>9} {'median':>9} {'p90':>9} {'cpu med':>9}   wall/{base}  cpu/{base}")
    for name, values in samples.items():
        walls = sorted(w for w, _ in values)
        cpu = statistics.median(c for _, c in values)
        print(f"{name:28} {walls[0]:8.2f}  {statistics.median(walls):8.2f}  {walls[int(len(walls) * .9)]:8.2f} "
              f" {cpu:8.2f}   {statistics.median(walls) / base_wall:8.2f}  {cpu / base_cpu if base_cpu else 0:8.2f}")
