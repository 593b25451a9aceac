"""What is refused about SAP, and what SAP refuses."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound, Unavailable


class SapNotConfigured(Conflict):
    """The shop has no SAP: nothing was asked, and nothing written."""

    code = "sap.not_configured"

    def __init__(self) -> None:
        super().__init__("set sap.address to where the shop's SAP answers")


class SapFailed(Unavailable):
    """SAP did not answer in time, or not as it should."""

    code, transient = "sap.failed", True

    def __init__(self, *, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


class InvoiceUnknown(NotFound):
    """SAP has no such invoice. That it was asked for is in the audit."""

    code = "sap.invoice_unknown"

    def __init__(self, *, order: str, invoice_number: str | None = None) -> None:
        super().__init__(f"SAP has no invoice {invoice_number or ''} of order {order}".replace("  ", " "))
        self.order, self.invoice_number = order, invoice_number


class CustomerSyncNotFound(NotFound):
    """The shop has no such row of a customer."""

    code = "sap.customer_sync_not_found"

    def __init__(self, *, sync_id: UUID) -> None:
        super().__init__(f"no customer's row {sync_id}")
        self.sync_id = sync_id


class CustomerSynced(Conflict):
    """SAP has the customer already: there is nothing to try again."""

    code = "sap.customer_synced"

    def __init__(self, *, sync_id: UUID) -> None:
        super().__init__("SAP has this customer")
        self.sync_id = sync_id


class SapCodeTaken(Conflict):
    """Another customer has this number in SAP."""

    code = "sap.code_taken"

    def __init__(self, *, sap_customer_code: str) -> None:
        super().__init__(f"another customer has the code {sap_customer_code}")
        self.sap_customer_code = sap_customer_code


class InvalidSap(Invalid):
    """A field is out of its bounds; nothing was written, and nobody was asked."""

    code = "sap.invalid"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason
