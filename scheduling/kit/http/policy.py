"""The operator's rules for outgoing calls: allowed ports of public hosts, and allowed hosts inside the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from scheduling.kit.http.addresses import OPENABLE, Address, refused_class_of
from scheduling.kit.http.errors import AddressRefusedError, HostRefusedError, UrlRefusedError
from scheduling.kit.http.targets import UrlTarget, read_target
from scheduling.kit.runtime import host_check
from tenants.database.platform_settings import platform_settings
from tenants.translation import translate


class AllowedHostInvalidError(ValueError):
    """The error for an entry of OUTGOING_HTTP_ALLOWED_HOSTS that is not host:port."""


@dataclass(frozen=True, slots=True)
class OutgoingPolicy:
    """The ports that may be called on public hosts, and the (host, port) pairs that may be inside the network."""

    ports: frozenset[int]
    allowed_hosts: frozenset[tuple[str, int]] = frozenset()

    def opened_for(self, target: UrlTarget) -> OutgoingPolicy:
        """Return a copy of this policy that also allows the target; only for targets that the operator has set."""
        return replace(self, allowed_hosts=self.allowed_hosts | {(target.host, target.port)})

    def is_allowed(self, host: str, port: int) -> bool:
        """Return whether the operator has listed this host with this port, so that it may be inside the network."""
        return (host, port) in self.allowed_hosts

    def check_target(self, target: UrlTarget) -> None:
        """Raise `AddressRefusedError` for a target that is refused by its port or host name alone, before a look-up.

        Raise `HostRefusedError` if a control does not let the running job call the host.
        """
        if (is_host_allowed := host_check.get()) is not None and not is_host_allowed(target.host):
            raise HostRefusedError(translate("A control does not allow calls of %(host)r.", {"host": target.host}))
        if self.is_allowed(target.host, target.port):
            return
        if target.port not in self.ports:
            raise AddressRefusedError(
                translate(
                    "Port %(port)s is not allowed. Allowed: %(known)s. The platform's settings OUTGOING_HTTP_PORTS and "
                    "OUTGOING_HTTP_ALLOWED_HOSTS allow further ones.",
                    {"port": target.port, "known": ", ".join(map(str, sorted(self.ports)))},
                )
            )
        if target.literal is None and "." not in target.host:
            raise AddressRefusedError(
                translate(
                    "%(host)r is an internal name: use a name with a domain, or let the platform's setting "
                    "OUTGOING_HTTP_ALLOWED_HOSTS allow it.",
                    {"host": target.host},
                )
            )

    def check_address(self, host: str, port: int, address: Address) -> None:
        """Raise `AddressRefusedError` unless this address of the host may be connected to.

        The message names the class of the address and not the address, which would reveal the internal network.
        """
        refused = refused_class_of(address)
        if refused is None or (refused in OPENABLE and self.is_allowed(host, port)):
            return
        values = {"host": host, "refused": refused}
        if refused not in OPENABLE:
            raise AddressRefusedError(
                translate("%(host)r resolves to an address that is not allowed: %(refused)s.", values)
            )
        raise AddressRefusedError(
            translate(
                "%(host)r resolves to an address that is not allowed: %(refused)s. The platform's setting "
                "OUTGOING_HTTP_ALLOWED_HOSTS can allow it.",
                values,
            )
        )


def refusal_of(url: str) -> str:
    """Return why no job may call the URL, as far as its text shows it; an empty text if it may.

    For URLs that are saved: a name is not resolved, since its addresses are checked at each call.
    """
    try:
        target, policy = read_target(url), current_policy()
        policy.check_target(target)
        if target.literal is not None:
            policy.check_address(target.host, target.port, target.literal)
    except (UrlRefusedError, AddressRefusedError) as error:
        return str(error)
    return ""


def current_policy() -> OutgoingPolicy:
    """Return the policy that the settings define."""
    return _policy_of(
        tuple(platform_settings.OUTGOING_HTTP_PORTS), tuple(platform_settings.OUTGOING_HTTP_ALLOWED_HOSTS)
    )


@lru_cache(maxsize=16)
def _policy_of(ports: tuple[int, ...], allowed: tuple[str, ...]) -> OutgoingPolicy:
    return OutgoingPolicy(frozenset(ports), read_allowed_hosts(allowed))


def read_allowed_hosts(entries: Sequence[str]) -> frozenset[tuple[str, int]]:
    """Return the (host, port) pairs of the setting; raise `AllowedHostInvalidError` for an invalid entry."""
    return frozenset(_read_entry(entry) for entry in entries)


def _read_entry(entry: str) -> tuple[str, int]:
    try:
        target = read_target(f"http://{entry}")
    except UrlRefusedError as error:
        raise AllowedHostInvalidError(f"{entry!r} is not host:port. {error}") from None
    if target.path != "/" or not entry.endswith(f":{target.port}"):
        raise AllowedHostInvalidError(f"{entry!r} is not host:port, such as llm.internal:8000 or [fd00::5]:8000.")
    return target.host, target.port
