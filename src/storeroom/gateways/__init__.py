"""Payment gateways: the providers behind ways to pay, and the only place where their secrets are kept."""

from storeroom.gateways.errors import (
    GatewayIncomplete,
    GatewayInUse,
    GatewayNotFound,
    GatewayTaken,
    InvalidGateway,
    TooManyGateways,
)
from storeroom.gateways.model import Gateway, GatewayConfig, GatewayKind, OfferedGateway
from storeroom.gateways.sealed import GATEWAY_SEALS
from storeroom.gateways.service import Gateways

__all__ = [
    "GATEWAY_SEALS",
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
]
