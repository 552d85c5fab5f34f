"""Who used the CPU while something was measured, and whether the figures are the server's own."""

from dataclasses import dataclass, field
from typing import Final, Self

from bench.measure import Usage, machine_cpu_seconds_now
from bench.peers import Peer
from bench.trees import cpu_seconds_by_name

_BUSY_SHARE: Final = 0.95
"""From here on a load process counts as the bottleneck, and so does the server."""
_NOISE_SHARE: Final = 0.25
"""From here on, in cores, what others do spoils a run. The kernel's own part of it stays below."""


@dataclass(frozen=True)
class Work:
    """What was used up to a moment."""

    server: Usage
    machine_seconds: float
    services: dict[str, float] = field(default_factory=dict)
    """CPU of each service that the server stands on, in seconds."""

    @classmethod
    def of(cls, peer: Peer) -> Self:
        """Raises BenchError: the server has ended."""
        services = cpu_seconds_by_name(peer.services) if peer.services else {}
        return cls(Usage.of(peer.pids), machine_cpu_seconds_now(), services)


@dataclass(frozen=True)
class Window:
    """Between two moments."""

    before: Work
    after: Work
    seconds: float
    client_shares: tuple[float, ...]
    """CPU of each load process, as a share of one core."""

    @property
    def server_seconds(self) -> float:
        """CPU of the server."""
        return self.after.server.cpu_seconds - self.before.server.cpu_seconds

    @property
    def figures(self) -> dict[str, float]:
        return {
            "server_cpu_percent": self.server_seconds / self.seconds * 100,
            "client_cpu_percent": max(self.client_shares) * 100,
            **{
                f"{service}_cpu_percent": share * 100
                for service, share in self._service_shares.items()
            },
            "other_cpu_percent": max(self._others, 0) * 100,
            "rss_mb": self.after.server.rss_kb / 1024,
        }

    def notes(self, *, is_paced: bool) -> list[str]:
        """What the user should know. A full server is as it should be, unless messages were sent at
        a pace that is not its own."""
        notes = []
        if max(self.client_shares) >= _BUSY_SHARE:
            notes.append(
                "the load client was the bottleneck: its CPU was full, so latencies are partly its"
                " own; more --client-core or less load help"
            )
        elif self._service_shares and self._beside_the_server >= _BUSY_SHARE:
            notes.append(
                "the load and the services were the bottleneck: the CPU that they share was full,"
                " so rates and latencies are theirs; more --client-core help"
            )
        if is_paced and self.server_seconds / self.seconds >= _BUSY_SHARE:
            notes.append("the server's core was full: latencies are those of a full server")
        if self._others >= _NOISE_SHARE:
            notes.append(
                "other processes of this machine were busy: latencies and rates are partly theirs"
            )
        return notes

    @property
    def _service_shares(self) -> dict[str, float]:
        """CPU of each service, in cores."""
        return {
            service: (used - self.before.services[service]) / self.seconds
            for service, used in self.after.services.items()
        }

    @property
    def _beside_the_server(self) -> float:
        """What load and services use of the cores that they share: each load process has one."""
        used = sum(self.client_shares) + sum(self._service_shares.values())
        return used / len(self.client_shares)

    @property
    def _others(self) -> float:
        """CPU of everything else, in cores."""
        machine = self.after.machine_seconds - self.before.machine_seconds
        known = self.server_seconds / self.seconds + sum(self.client_shares)
        return machine / self.seconds - known - sum(self._service_shares.values())
