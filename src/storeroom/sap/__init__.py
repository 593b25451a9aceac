"""Customers and invoices at SAP: who is known there under which number, and what was asked of it."""

from storeroom.sap.carrier import SapCustomers
from storeroom.sap.customers import CustomerSyncs, ensure_customer_syncs
from storeroom.sap.errors import (
    CustomerSynced,
    CustomerSyncNotFound,
    InvalidSap,
    InvoiceUnknown,
    SapCodeTaken,
    SapFailed,
    SapNotConfigured,
)
from storeroom.sap.invoices import Invoices, ensure_invoice_audits
from storeroom.sap.jobs import sync_customers
from storeroom.sap.model import (
    ATTEMPTS_MAX,
    CustomerSync,
    Invoice,
    InvoiceAudit,
    ToSync,
    map_customer_sync,
    map_invoice_audit,
)
from storeroom.sap.port import SAP_ADDRESS

__all__ = [
    "ATTEMPTS_MAX",
    "SAP_ADDRESS",
    "CustomerSync",
    "CustomerSyncNotFound",
    "CustomerSynced",
    "CustomerSyncs",
    "InvalidSap",
    "Invoice",
    "InvoiceAudit",
    "InvoiceUnknown",
    "Invoices",
    "SapCodeTaken",
    "SapCustomers",
    "SapFailed",
    "SapNotConfigured",
    "ToSync",
    "ensure_customer_syncs",
    "ensure_invoice_audits",
    "map_customer_sync",
    "map_invoice_audit",
    "sync_customers",
]
