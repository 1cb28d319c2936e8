"""A real broker that asks who is there: SCRAM over a plain connection, SCRAM over TLS with client certificates, and ACLs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kafka
import kafka.admin
import trustme
from cryptography.hazmat.primitives import serialization

from signalbox.kubernetes.access import Rule
from signalbox.local_stack import ports
from signalbox.local_stack.temporary import TemporaryBroker

# The client has no types; naming it Any once keeps the calls readable.
_AdminClient: Any = kafka.KafkaAdminClient
_admin: Any = kafka.admin

_ACL_TYPES = {
    "topic": _admin.ResourceType.TOPIC,
    "group": _admin.ResourceType.GROUP,
    "transactionalId": _admin.ResourceType.TRANSACTIONAL_ID,
    "cluster": _admin.ResourceType.CLUSTER,
}
_OPERATIONS = {
    "Read": _admin.ACLOperation.READ,
    "Write": _admin.ACLOperation.WRITE,
    "Create": _admin.ACLOperation.CREATE,
    "Describe": _admin.ACLOperation.DESCRIBE,
    "DescribeConfigs": _admin.ACLOperation.DESCRIBE_CONFIGS,
}
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class Certificates:
    """PEM files: who signed, and what the client shows."""

    ca: Path
    client: Path
    client_key: Path
    server: Path


def certificates(folder: Path) -> Certificates:
    """Write a CA, a server's certificate for loopback with its key, and a client's."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    client = authority.issue_cert("agents.example", common_name="signalbox")
    made = Certificates(
        *(folder / name for name in ("ca.crt", "user.crt", "user.key", "server.pem"))
    )
    authority.cert_pem.write_to_path(made.ca)
    made.client.write_bytes(_chain(client))
    made.client_key.write_bytes(_pkcs8(client))
    made.server.write_bytes(_pkcs8(server) + _chain(server))
    return made


class SecuredBroker(TemporaryBroker):
    """`bootstrap_servers` is the plain listener of the test itself, whose nameless user may do everything."""

    def __init__(self, folder: Path, *, passwords: Mapping[str, str]) -> None:
        super().__init__(folder)
        self.certificates = certificates(folder / "certificates")
        self.sasl_port, self.tls_port = ports.free_port(), ports.free_port()
        self.plan = replace(
            self.plan,
            more_properties=self._properties(),
            format_arguments=[
                argument
                for user, password in passwords.items()
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                for argument in ("--add-scram", f"{mechanism}=[name={user},password={password}]")
            ],
        )

    def allow(self, user: str, rules: Iterable[Rule]) -> None:
        """Create the ACLs that the rules state."""
        admin = _AdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            result = admin.create_acls([acl for rule in rules for acl in _acls(user, rule)])
            assert not result["failed"], result
        finally:
            admin.close()

    def _properties(self) -> dict[str, str]:
        host = ports.LOOPBACK
        plain = f"PLAINTEXT://{host}:{self.plan.port}"
        secured = f"SASL_PLAINTEXT://{host}:{self.sasl_port},SASL_SSL://{host}:{self.tls_port}"
        return {
            "listeners": f"{plain},{secured},CONTROLLER://{host}:{self.plan.controller_port}",
            "advertised.listeners": f"{plain},{secured}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT"
            ),
            "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
            **{
                f"listener.name.{listener}.{mechanism}.sasl.jaas.config": _SCRAM
                for listener in ("sasl_plaintext", "sasl_ssl")
                for mechanism in ("scram-sha-256", "scram-sha-512")
            },
            "listener.name.sasl_ssl.ssl.keystore.type": "PEM",
            "listener.name.sasl_ssl.ssl.keystore.location": str(self.certificates.server),
            "listener.name.sasl_ssl.ssl.truststore.type": "PEM",
            "listener.name.sasl_ssl.ssl.truststore.location": str(self.certificates.ca),
            # Who shows no certificate does not get in, so a client that passes did show its own.
            "listener.name.sasl_ssl.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }


def _acls(user: str, rule: Rule) -> Iterator[Any]:
    pattern = (
        _admin.ACLResourcePatternType.PREFIXED
        if rule.is_prefix
        else _admin.ACLResourcePatternType.LITERAL
    )
    resource = _admin.ResourcePattern(_ACL_TYPES[rule.resource], rule.name, pattern)
    for operation in rule.operations:
        yield _admin.ACL(
            f"User:{user}", "*", _OPERATIONS[operation], _admin.ACLPermissionType.ALLOW, resource
        )


def _chain(issued: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems)


def _pkcs8(issued: trustme.LeafCert) -> bytes:
    # Java reads no other form.
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
