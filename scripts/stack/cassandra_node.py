"""Cassandra from its jars: one node, one that wants a password and TLS, or a cluster of three.

The nodes of the cluster have their places in the ring from the start, so that they begin together;
with a replication of three each holds everything.
"""

import json
import shutil
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from scripts.stack import java
from scripts.stack.cql import Consistency, answers
from scripts.stack.credentials import Credentials
from scripts.stack.service import Instance, Launch, Service
from scripts.stack.settings import CLUSTER_HOSTS, HOST, Settings

VERSION: Final = "5.0.6"
LOGIN: Final = ("cassandra", "cassandra")
"""The superuser that every new Cassandra has."""
_JARS: Final = f"cassandra-{VERSION}"
_ARTIFACTS: Final = (f"org.apache.cassandra:cassandra-all:{VERSION}",)
_MAIN: Final = "org.apache.cassandra.service.CassandraDaemon"
_ALONE: Final = "SELECT release_version FROM system.local"
_TOGETHER: Final = (
    "SELECT host_id FROM system_distributed.view_build_status"
    " WHERE keyspace_name = 'none' AND view_name = 'none'"
)
"""A row that is nowhere, in a table that has three replicas: with ALL, all three must answer."""
_EXPORTS: Final = (
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.unsupported/sun.misc",
)
_OPENS: Final = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
)
"""The parts of Java 17 that Cassandra reaches into, by its own list."""
_FLAGS: Final = (
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Djava.net.preferIPv4Stack=true",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+PerfDisableSharedMem",
    # Nobody else is in these clusters: there is nothing to wait for.
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=3000",
    "-Dcassandra.shutdown_announce_in_ms=200",
)
_QUICK_LOGIN: Final = "-Dcassandra.superuser_setup_delay_ms=500"
_QUICK_START: Final = "-XX:TieredStopAtLevel=1"
"""Three at once fight for the processors: a third less work to start, and slower for good."""
_LOGGING: Final = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
  <logger name="org.apache.cassandra.config.Config" level="WARN"/>
</configuration>
"""
_RING: Final = 2**64


class CassandraCluster(Service):
    patience_seconds: ClassVar[float] = 180

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        hosts: Sequence[str] = (HOST,),
        heap_mb: int = 512,
        with_tls: bool = False,
    ) -> None:
        super().__init__(name, settings)
        self._hosts = tuple(hosts)
        self._heap_mb = heap_mb
        self._with_tls = with_tls
        self._credentials = Credentials(settings)

    @property
    def instances(self) -> Sequence[Instance]:
        storage = self.settings.ports[f"{self.name}-storage"]
        if len(self._hosts) == 1:
            return [Instance(self.folder, self._hosts[0], self.port, (storage,))]
        return [
            Instance(self.folder / f"node{number}", host, self.port, (storage,))
            for number, host in enumerate(self._hosts, 1)
        ]

    def missing_packages(self) -> list[str]:
        return java.missing_packages(self.settings.cache, _JARS)

    def install(self) -> None:
        java.require_java()
        java.fetch_jars(self.settings.cache, _JARS, _ARTIFACTS)

    def version(self) -> str:
        return VERSION

    def launch(self, instance: Instance) -> Launch:
        jars = self.settings.cache / _JARS
        (agent,) = jars.glob("jamm-*.jar")
        home = instance.folder
        files = {
            "cassandra.yaml": configuration(self.name, instance, self._hosts, self._with_tls),
            "logback.xml": _LOGGING,
        }
        if self._with_tls:
            files["server.pem"] = "".join(reversed(self._credentials.certificate()))
        command = [java.require_java(), f"-Xmx{self._heap_mb}m", f"-javaagent:{agent}", *_FLAGS]
        command += [_QUICK_LOGIN] if self._with_tls else []
        command += [_QUICK_START] if len(self._hosts) > 1 else []
        command += [f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS]
        command += [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS]
        command += [
            f"-Djava.io.tmpdir={home / 'tmp'}",
            f"-Dcassandra.storagedir={home}",
            f"-Dcassandra.config={(home / 'cassandra.yaml').as_uri()}",
            f"-Dlogback.configurationFile={(home / 'logback.xml').as_uri()}",
            "-cp",
            f"{jars}/*",
            _MAIN,
        ]
        return Launch(command=tuple(command), home=home, working_folder=home, files=files)

    def is_ready(self, instance: Instance) -> bool:
        host, port = instance.host, instance.port
        if len(self._hosts) > 1:
            return answers(host, port, _TOGETHER, Consistency.ALL)
        if not self._with_tls:
            return answers(host, port, _ALONE, Consistency.ONE)
        try:
            tls: ssl.SSLContext = self._credentials.client_context()
        except OSError:
            return False
        return answers(host, port, _ALONE, Consistency.ONE, LOGIN, tls)

    def variables(self) -> dict[str, str]:
        hosts = ",".join(instance.address for instance in self.instances)
        if self._with_tls:
            return {
                "SERVICES_CASSANDRA_TLS_HOSTS": hosts,
                "SERVICES_CASSANDRA_TLS_USER": LOGIN[0],
                "SERVICES_CASSANDRA_TLS_PASSWORD": LOGIN[1],
                "SERVICES_CASSANDRA_TLS_CERTIFICATE": str(self._credentials.certificate_file),
            }
        if len(self._hosts) > 1:
            return {"SERVICES_CASSANDRA3_HOSTS": hosts, "CHATD_CASSANDRA_HOSTS": hosts}
        return {"CHATD_CASSANDRA_HOSTS": hosts}

    def clear(self, instance: Instance) -> None:
        shutil.rmtree(instance.folder / "tmp", ignore_errors=True)

    def prepare(self, instance: Instance, launch: Launch) -> None:
        (instance.folder / "tmp").mkdir(exist_ok=True)


def three_nodes(name: str, settings: Settings) -> CassandraCluster:
    return CassandraCluster(name, settings, hosts=CLUSTER_HOSTS, heap_mb=384)


def tokens(count: int) -> list[int]:
    """The places of the nodes in the ring, as far apart as they can be."""
    return [index * _RING // count - _RING // 2 for index in range(count)]


def configuration(name: str, instance: Instance, hosts: Sequence[str], with_tls: bool) -> str:
    """YAML, as the JSON that it includes."""
    token = tokens(len(hosts))[list(hosts).index(instance.host)]
    (storage_port,) = instance.other_ports
    values: dict[str, object] = {
        "cluster_name": f"chatd {name}",
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "SimpleSnitch",
        "num_tokens": 1,
        "initial_token": str(token),
        "auto_bootstrap": False,
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": ",".join(hosts)}],
            }
        ],
        "listen_address": instance.host,
        "rpc_address": instance.host,
        "storage_port": storage_port,
        "native_transport_port": instance.port,
        # A write is answered when it is on the disk: the writes of 10 ms share one fsync.
        "commitlog_sync": "group",
        "commitlog_sync_group_window": "10ms",
        # A write holds one of these while it waits for its group: 32, as they come, are 3,000 a
        # second.
        "concurrent_writes": 256,
        "commitlog_segment_size": "16MiB",
        "commitlog_total_space": "256MiB",
        # Tests drop what they made: no copies of it.
        "auto_snapshot": False,
    }
    if with_tls:
        values["authenticator"] = "PasswordAuthenticator"
        values["client_encryption_options"] = {
            "enabled": True,
            "optional": False,
            "ssl_context_factory": {
                "class_name": "org.apache.cassandra.security.PEMBasedSslContextFactory"
            },
            "keystore": str(Path(instance.folder) / "server.pem"),
        }
    return json.dumps(values, indent=2) + "\n"
