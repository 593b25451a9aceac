"""What the integrations refuse."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound, Unavailable
from storeroom.core.ids import EndpointId, WebhookId
from storeroom.integration.model import ENDPOINTS_MAX, WebhookStatus


class InvalidWebhook(Invalid):
    """A webhook or an endpoint that cannot be right."""

    code = "integration.invalid_webhook"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class WebhookNotFound(NotFound):
    """No queued row of this id."""

    code = "integration.webhook_not_found"

    def __init__(self, *, webhook_id: WebhookId) -> None:
        super().__init__(f"there is no webhook {webhook_id}")
        self.webhook_id: UUID = webhook_id


class WebhookNotRetriable(Conflict):
    """It arrived, is on its way, or the endpoint that it was for is gone."""

    code = "integration.webhook_not_retriable"

    def __init__(self, *, webhook_id: WebhookId, status: WebhookStatus) -> None:
        super().__init__(f"webhook {webhook_id} is in state {status} and is not sent again")
        self.webhook_id: UUID = webhook_id
        self.status = status


class LeaseLost(Conflict):
    """The row is not, or no longer, in the hands of the caller: nothing was changed."""

    code = "integration.lease_lost"

    def __init__(self, *, webhook_id: WebhookId) -> None:
        super().__init__(f"webhook {webhook_id} is not held under this claim; its lease has ended, or it was deleted")
        self.webhook_id: UUID = webhook_id


class EndpointNotFound(NotFound):
    """No endpoint of this id."""

    code = "integration.endpoint_not_found"

    def __init__(self, *, endpoint_id: EndpointId) -> None:
        super().__init__(f"there is no endpoint {endpoint_id}")
        self.endpoint_id: UUID = endpoint_id


class EndpointTaken(Conflict):
    """The shop has an endpoint at this address."""

    code = "integration.endpoint_taken"

    def __init__(self, *, url: str) -> None:
        super().__init__(f"there is an endpoint at {url} already")
        self.url = url


class TooManyEndpoints(Conflict):
    """The shop has as many endpoints as it may."""

    code = "integration.too_many_endpoints"

    def __init__(self) -> None:
        super().__init__(f"a shop has {ENDPOINTS_MAX} endpoints at most")
        self.endpoints_max = ENDPOINTS_MAX


class DestinationRefused(Unavailable):
    """The address is one that this installation does not send to: of its own network, or no address at all."""

    code = "integration.destination_refused"
    transient = False

    def __init__(self, *, host: str, reason: str) -> None:
        super().__init__(f"{host}: {reason}")
        self.host, self.reason = host, reason


class NoAnswer(Unavailable):
    """Another system that was asked gave no answer in time, or none that can be read."""

    code, transient = "integration.no_answer", True

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
