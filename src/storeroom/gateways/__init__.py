"""Payment gateways: the providers behind ways to pay, and the only place where their secrets are kept."""

from storeroom.gateways.errors import (
    GatewayIncomplete,
    GatewayInUse,
    GatewayNotFound,
    GatewayTaken,
    InvalidGateway,
    TooManyGateways,
)
from storeroom.gateways.jobs import reseal_gateways
from storeroom.gateways.model import Gateway, GatewayConfig, GatewayKind, OfferedGateway
from storeroom.gateways.service import Gateways

__all__ = [
    "Gateway",
    "GatewayConfig",
    "GatewayInUse",
    "GatewayIncomplete",
    "GatewayKind",
    "GatewayNotFound",
    "GatewayTaken",
    "Gateways",
    "InvalidGateway",
    "OfferedGateway",
    "TooManyGateways",
    "reseal_gateways",
]
