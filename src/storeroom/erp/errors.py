"""What the ERP room refuses."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound
from storeroom.erp.model import ErpEntity


class InvalidErpConnection(Invalid):
    """A connection that cannot be right."""

    code = "erp.invalid_connection"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class ErpNotConnected(NotFound):
    """The shop has no ERP."""

    code = "erp.not_connected"

    def __init__(self) -> None:
        super().__init__("no ERP is connected: PUT /v1/admin/erp/connection")


class ErpEntityNotFound(NotFound):
    """The shop has no such account, product, order, payment or refund."""

    code = "erp.entity_not_found"

    def __init__(self, *, entity: ErpEntity, entity_id: UUID) -> None:
        super().__init__(f"there is no {entity} {entity_id}")
        self.entity, self.entity_id = entity, entity_id


class OutsideErpBoundary(Conflict):
    """It is not sent to the ERP as it is now."""

    code = "erp.outside_boundary"

    def __init__(self, *, entity: ErpEntity, entity_id: UUID, reason: str) -> None:
        super().__init__(f"{entity} {entity_id} is not sent: {reason}")
        self.entity, self.entity_id, self.reason = entity, entity_id, reason
