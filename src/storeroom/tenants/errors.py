"""What the tenants refuse."""

from storeroom.core.errors import Conflict, Invalid, NotFound


class TenantExists(Conflict):
    """A tenant has this id already."""

    code = "tenants.exists"

    def __init__(self, *, tenant_id: str) -> None:
        super().__init__(f"the tenant {tenant_id!r} exists")
        self.tenant_id = tenant_id


class InvalidTenant(Invalid):
    """A setting is out of its bounds; nothing was written."""

    code = "tenants.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)


class HostTaken(Conflict):
    """The host name leads to another tenant."""

    code = "tenants.host_taken"

    def __init__(self, *, host: str) -> None:
        super().__init__(f"{host} belongs to another tenant")
        self.host = host


class HostUnknown(NotFound):
    """No shop answers at this host name."""

    code = "tenants.host_unknown"

    def __init__(self, *, host: str) -> None:
        super().__init__(f"no shop at {host!r}")
        self.host = host
