"""The ERP: what leaves for it, what it keeps under which id, and what never goes there."""

from storeroom.erp.boundary import DESTINATION, NEVER, OUTBOUND, Outbound
from storeroom.erp.carrier import ErpCarrier
from storeroom.erp.connector import Connector, ErpRefused, HttpConnector
from storeroom.erp.errors import ErpEntityNotFound, ErpNotConnected, InvalidErpConnection, OutsideErpBoundary
from storeroom.erp.model import (
    ConnectionTest,
    ErpAnswer,
    ErpAuth,
    ErpConnection,
    ErpEntity,
    ErpEntityStatus,
    ErpMessage,
    ErpStatus,
    Resync,
)
from storeroom.erp.sealed import ERP_SEALS
from storeroom.erp.service import Erp

__all__ = [
    "DESTINATION",
    "ERP_SEALS",
    "NEVER",
    "OUTBOUND",
    "ConnectionTest",
    "Connector",
    "Erp",
    "ErpAnswer",
    "ErpAuth",
    "ErpCarrier",
    "ErpConnection",
    "ErpEntity",
    "ErpEntityNotFound",
    "ErpEntityStatus",
    "ErpMessage",
    "ErpNotConnected",
    "ErpRefused",
    "ErpStatus",
    "HttpConnector",
    "InvalidErpConnection",
    "Outbound",
    "OutsideErpBoundary",
    "Resync",
]
