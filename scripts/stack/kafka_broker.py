"""Kafka from its jars: one node that is broker and controller."""

from collections.abc import Sequence
from typing import Final

from scripts.stack import java
from scripts.stack.probe import kafka_answers
from scripts.stack.progress import say
from scripts.stack.service import Instance, Launch, Service
from scripts.stack.settings import HOST
from scripts.stack.tool import run

VERSION: Final = "4.1.1"
_JARS: Final = f"kafka-{VERSION}"
_ARTIFACTS: Final = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    # Prints errors; without it Kafka is silent.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
)
_FILE: Final = "server.properties"
_CLUSTER_ID: Final = "Y2hhdGQtc2VydmljZXMhIQ"
"""16 bytes in base64, as Kafka wants it."""
_CONFIGURATION: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""


class KafkaBroker(Service):
    @property
    def instances(self) -> Sequence[Instance]:
        controller = self.settings.ports[f"{self.name}-controller"]
        return [Instance(self.folder, HOST, self.port, (controller,))]

    def missing_packages(self) -> list[str]:
        return java.missing_packages(self.settings.cache, _JARS)

    def install(self) -> None:
        java.require_java()
        java.fetch_jars(self.settings.cache, _JARS, _ARTIFACTS)

    def version(self) -> str:
        return VERSION

    def launch(self, instance: Instance) -> Launch:
        return Launch(
            command=self._java("kafka.Kafka", str(self.folder / _FILE)),
            home=self.folder,
            working_folder=self.folder,
            files={_FILE: configuration(instance)},
        )

    def is_ready(self, instance: Instance) -> bool:
        return kafka_answers(instance.host, instance.port)

    def variables(self) -> dict[str, str]:
        return {"CHATD_KAFKA_BROKERS": f"{HOST}:{self.port}"}

    def prepare(self, instance: Instance, launch: Launch) -> None:
        if (self.folder / "data" / "meta.properties").exists():
            return
        say(self.name, f"makes its data in {self.folder / 'data'}")
        options = ("format", "-t", _CLUSTER_ID, "-c", str(self.folder / _FILE))
        run(self._java("kafka.tools.StorageTool", *options))

    def _java(self, main: str, *arguments: str) -> tuple[str, ...]:
        jars = f"{self.settings.cache / _JARS}/*"
        flags = ("-Xmx512m", "-XX:+ExitOnOutOfMemoryError", "-XX:+PerfDisableSharedMem")
        return (java.require_java(), *flags, "-cp", jars, main, *arguments)


def configuration(instance: Instance) -> str:
    (controller_port,) = instance.other_ports
    return _CONFIGURATION.format(
        host=instance.host,
        port=instance.port,
        controller_port=controller_port,
        folder=instance.folder,
    )
