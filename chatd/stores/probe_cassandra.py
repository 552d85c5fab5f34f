"""What Cassandra says of itself."""

from chatd.readiness import Facts
from chatd.stores.migrate_cassandra import commit_log_modes
from chatd.stores.session_cassandra import Cassandra


async def probe_cassandra(cassandra: Cassandra) -> Facts:
    """When the commit log of each node is on the disk, and where the keyspace is.

    Raises:
        BackendError
    """
    modes = await commit_log_modes(cassandra)
    ((replication,),) = await cassandra.run(
        "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s",
        [cassandra.keyspace],
    )
    return Facts(
        {
            "commitLog": modes,
            "keyspace": cassandra.keyspace,
            "replication": dict(replication.items()),
            "nodesUp": len(modes),
            "nodes": cassandra.nodes,
        }
    )
