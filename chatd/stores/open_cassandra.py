"""Opening a session with Cassandra: how the driver is set up, and what a refusal means."""

import re
import ssl
from collections.abc import Sequence
from typing import Final, NamedTuple

from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    RequestValidationException,
    UnresolvableContactPoints,
    protocol,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    Session,
)
from cassandra.connection import ConnectionException
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    TokenAwarePolicy,
)
from cassandra.query import tuple_factory

from chatd.errors import BackendError, StartError

FAILURES: Final = (
    DriverException,
    protocol.ErrorMessage,
    NoHostAvailable,
    ConnectionException,
    OSError,
)
"""What the driver raises when Cassandra fails."""
REFUSALS: Final = (RequestValidationException, protocol.RequestValidationException)
"""Those of them that are the statement's fault, or of who sends it."""
_CONNECT_SECONDS: Final = 5.0
_HEARTBEAT_SECONDS: Final = 5.0
"""A connection that says nothing is asked after this time, and given up after as much again."""
_RECONNECT_SECONDS: Final = (0.5, 5.0)
_SENT: Final = re.compile(r'message="(.*)"')
_PROTOCOL_VERSION: Final = 4
"""The next one puts a checksum around each message, as TCP and TLS do already."""


class Opened(NamedTuple):
    cluster: Cluster
    session: Session
    nearest: DCAwareRoundRobinPolicy
    """Knows the datacenter of the hosts that were named."""


class Hosts(NamedTuple):
    """Where Cassandra is, and what it wants of those who come."""

    addresses: Sequence[str]
    """host:port, of nodes in the datacenter that is to be used."""
    username: str = ""
    password: str = ""
    tls_ca: str = ""
    """The file with the certificates of those who vouch for the nodes; "" for no TLS."""

    def __str__(self) -> str:
        return f"Cassandra at {', '.join(self.addresses)}"


def open_session(hosts: Hosts) -> Opened:
    """Connect. It blocks: not for the loop's thread.

    Raises:
        StartError: the user, the password or the TLS is refused, or the file cannot be used;
            asking again will not help.
        BackendError: no node can be reached.
    """
    try:
        cluster, nearest = _cluster(hosts)
    except UnresolvableContactPoints as error:
        raise BackendError(f"{hosts}: the name has no address") from error
    try:
        session = cluster.connect()
    except FAILURES as error:
        cluster.shutdown()
        raise _refusal(hosts, error) from error
    # Every statement says its timestamp, and is bounded by its LIMIT.
    session.use_client_timestamp = False
    session.default_fetch_size = None
    return Opened(cluster, session, nearest)


def one_line(error: object) -> str:
    """What an error says; of one that Cassandra sent, its own words."""
    if isinstance(error, NoHostAvailable):
        return "; ".join(map(one_line, _reasons(error))) or "no node can be reached"
    text = " ".join(str(error).split())
    sent = _SENT.search(text)
    return (sent[1] if sent else text) or type(error).__name__


def _reasons(error: NoHostAvailable) -> list[object]:
    """Of each node that was asked."""
    return list(error.errors.values()) if isinstance(error.errors, dict) else []


def _cluster(hosts: Hosts) -> tuple[Cluster, DCAwareRoundRobinPolicy]:
    endpoints = [
        (host.strip("[]"), int(port))
        for host, _, port in (address.rpartition(":") for address in hosts.addresses)
    ]
    login = PlainTextAuthProvider(hosts.username, hosts.password) if hosts.username else None
    nearest = DCAwareRoundRobinPolicy()
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(nearest),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=_CONNECT_SECONDS,
        row_factory=tuple_factory,
    )
    cluster = Cluster(
        endpoints,
        port=endpoints[0][1],
        auth_provider=login,
        ssl_context=_tls_context(hosts.tls_ca) if hosts.tls_ca else None,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=_PROTOCOL_VERSION,
        compression=False,
        # Without a last attempt: the driver's own default gives up after 64.
        reconnection_policy=ExponentialReconnectionPolicy(*_RECONNECT_SECONDS, max_attempts=None),
        connect_timeout=_CONNECT_SECONDS,
        control_connection_timeout=_CONNECT_SECONDS,
        idle_heartbeat_interval=_HEARTBEAT_SECONDS,
        idle_heartbeat_timeout=_HEARTBEAT_SECONDS,
        monitor_reporting_enabled=False,
        application_name="chatd",
    )
    return cluster, nearest


def _tls_context(file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        # SSLError is one too: the file holds no certificate.
        reason = one_line(error.strerror or error)
        raise StartError(f"bad value of CHATD_CASSANDRA_TLS_CA: {file}: {reason}") from None


def _refusal(hosts: Hosts, error: BaseException) -> BackendError | StartError:
    """What to tell of a failure to connect."""
    for reason in _reasons(error) if isinstance(error, NoHostAvailable) else [error]:
        text = one_line(reason)
        if isinstance(reason, AuthenticationFailed) and "requires authentication" in text:
            return StartError(
                f"{hosts} wants a user: set CHATD_CASSANDRA_USERNAME and CHATD_CASSANDRA_PASSWORD"
            )
        if isinstance(reason, AuthenticationFailed) and "incorrect" in text:
            return StartError(
                f"{hosts} refuses CHATD_CASSANDRA_USERNAME or CHATD_CASSANDRA_PASSWORD: {text}"
            )
        # The driver makes another error of it, and leaves the text.
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return StartError(f"CHATD_CASSANDRA_TLS_CA does not vouch for {hosts}: {text}")
    return BackendError(f"{hosts}: {one_line(error)}")
