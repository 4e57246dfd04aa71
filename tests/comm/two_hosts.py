"""Two "hosts" on this machine: network namespaces with names of their own, and a link between them
whose delay and rate are given and which can be cut. Needs root, `ip` and /dev/net/tun.

The link is two TUN devices and a loop that passes packets on: kernels without netem have it too.
"""
import collections
import ctypes
import fcntl
import os
import select
import struct
import subprocess
import threading
import time

HOSTS = ("10.77.0.1", "10.77.0.2")
MTU = 9000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000


class Missing(Exception):
    """What this machine lacks for it."""


def _run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(f"{' '.join(words)}: {done.stderr.strip()}")


def _enter(path):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path) as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise Missing(f"setns: {os.strerror(ctypes.get_errno())}")


def _open_tun(namespace, name):
    """A device in a namespace, opened from here: a thread goes there for it."""
    result = []

    def work():
        try:
            _enter(f"/run/netns/{namespace}")
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
            result.append(device)
        except (OSError, Missing) as error:
            result.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(result[0], Exception):
        raise Missing(f"a TUN device: {result[0]}")
    return result[0]


class Link:
    """Passes packets between two devices: each leaves `delay` seconds after its last bit went in at
    `rate` bits a second (0: at once). Tells how many bytes went each way."""

    def __init__(self, devices, delay, rate):
        self.devices, self.delay, self.rate = devices, delay, rate
        self.bytes = [0, 0]
        self._cut = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def cut(self):
        self._cut.set()

    def close(self):
        self._end.set()
        self._thread.join()

    def _work(self):
        waiting = [collections.deque(), collections.deque()]  # (time to leave, packet), by sender
        free_at = [0.0, 0.0]
        while not self._end.is_set():
            due = min((queue[0][0] for queue in waiting if queue), default=time.monotonic() + 0.05)
            ready, _, _ = select.select(self.devices, [], [], max(0.0, due - time.monotonic()))
            for device in ready:
                side = self.devices.index(device)
                for _ in range(64):
                    try:
                        packet = os.read(device, MTU + 100)
                    except BlockingIOError:
                        break
                    if self._cut.is_set():
                        continue
                    now = time.monotonic()
                    takes = len(packet) * 8 / self.rate if self.rate else 0.0
                    free_at[side] = max(free_at[side], now) + takes
                    self.bytes[side] += len(packet)
                    waiting[side].append((free_at[side] + self.delay, packet))
            now = time.monotonic()
            for side, queue in enumerate(waiting):
                while queue and queue[0][0] <= now:
                    _, packet = queue.popleft()
                    try:
                        os.write(self.devices[1 - side], packet)
                    except OSError:  # its host is gone, or too slow: the packet is lost
                        pass


class TwoHosts:
    """`with TwoHosts(...) as hosts: subprocess.run(hosts.mpirun(["program", ...]))`. Throws Missing
    where that cannot be."""

    def __init__(self, folder, delay_ms=0.0, rate_mbit=0.0):
        self.folder, self.delay, self.rate = folder, delay_ms * 1e-3, rate_mbit * 1e6
        self.names = [f"sy{os.getpid()}-{i}" for i in range(2)]
        self.link = None

    def __enter__(self):
        if os.geteuid() != 0:
            raise Missing("not root")
        try:
            devices = []
            for i, name in enumerate(self.names):
                _run("ip", "netns", "add", name)
                devices.append(_open_tun(name, f"host{i}"))
                inside = ["ip", "netns", "exec", name, "ip"]
                _run(*inside, "addr", "add", f"{HOSTS[i]}/24", "dev", f"host{i}")
                _run(*inside, "link", "set", f"host{i}", "mtu", str(MTU), "up")
                _run(*inside, "link", "set", "lo", "up")
                # mpirun gives a host up when TCP does: after seconds, not the usual quarter of an hour.
                _run(*inside[:-1], "sysctl", "-qw", "net.ipv4.tcp_retries2=6")
        except (Missing, FileNotFoundError) as error:
            self.__exit__()
            raise Missing(str(error)) from error
        self.link = Link(devices, self.delay, self.rate)
        self.agent = os.path.join(self.folder, "agent.sh")
        with open(self.agent, "w") as script:  # in the place of ssh
            script.write('#!/bin/sh\nhost=$1; shift\ncase $host in\n')
            for name, address in zip(self.names, HOSTS):
                script.write(f'{address}) name={name} ;;\n')
            script.write('esac\nexec ip netns exec "$name" unshare --uts sh -c "hostname $name; $*"\n')
        os.chmod(self.agent, 0o755)
        return self

    def __exit__(self, *_):
        if self.link:
            self.link.close()
            for device in self.link.devices:
                os.close(device)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def mpirun(self, words, ranks_a_host=1):
        """The command line that starts ranks on both hosts; ranks talk over the link alone."""
        hosts = ",".join(f"{address}:{ranks_a_host}" for address in HOSTS)
        return ["ip", "netns", "exec", self.names[0], "unshare", "--uts", "sh", "-c",
                f'hostname {self.names[0]}; exec "$@"', "sh",
                "mpirun", "--allow-run-as-root", "--bind-to", "none", "--host", hosts,
                "--map-by", f"ppr:{ranks_a_host}:node", "--mca", "plm_rsh_agent", self.agent,
                "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "10.77.0.0/24",
                "--mca", "oob_tcp_if_include", "10.77.0.0/24", "--mca", "pml", "ob1", *words]
