"""What a customer who comes to the database directly may read: the role storeroom_authenticated.

PostgREST and Supabase check a token and put what it says into `request.jwt.claims` before each request; `sub` is the
account's id, `tenant_id` its shop. Without claims, with those of another shop, or once the account may not sign in any
more, every table is empty. Nothing can be written. `migrate` makes policies and grants what this table says.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

CUSTOMER_ROLE: Final = "storeroom_authenticated"

# In a subquery, so that a statement asks once and not for every row. A setting that was SET LOCAL is '' afterwards.
_CLAIMS: Final = "nullif(current_setting('request.jwt.claims', TRUE), '')::JSONB"
_TENANT: Final = f"tenant_id = (SELECT {_CLAIMS} ->> 'tenant_id')"
_CLAIMED: Final = f"(SELECT ({_CLAIMS} ->> 'sub')::UUID)"
# The policy of {users} holds in here too, so that nobody is found whose account is closed.
_SELF: Final = f"(SELECT u.id FROM {{users}} u WHERE u.{_TENANT} AND u.id = {_CLAIMED})"
_ACCOUNT: Final = (
    f"{_TENANT} AND id = {_CLAIMED} AND deleted_at IS NULL AND status IN ('active', 'pending_verification')"
)
_OWN: Final = f"{_TENANT} AND user_id = {_SELF}"
_OF_OWN_ORDER: Final = (
    f"{_TENANT} AND EXISTS (SELECT FROM {{orders}} o "
    "WHERE o.tenant_id = {table}.tenant_id AND o.id = {table}.order_id)"
)

_NAME: Final = re.compile(r"\{(\w+)\}")


class OwnRows(msgspec.Struct, frozen=True):
    """Which rows of a table are the customer's, and which of its columns they may read."""

    rule: str  # with names in braces
    columns: tuple[str, ...]

    def needs(self) -> frozenset[str]:
        """The tables that the rule names."""
        return frozenset(_NAME.findall(self.rule))


def _own(table: str, rule: str, columns: str) -> OwnRows:
    return OwnRows(rule.replace("{table}", f"{{{table}}}"), ("tenant_id", *columns.split()))


# A column that is not named here is kept from customers: hashes, notes of staff, paths of files, network addresses.
CUSTOMER_READS: Final[Mapping[str, OwnRows]] = MappingProxyType(
    {
        "users": _own(
            "users",
            _ACCOUNT,
            """
            id email email_verified email_verified_at full_name phone phone_verified auth_provider role status
            age_verified age_verified_at kyc_status kyc_verified_at vendure_customer_id created_at updated_at
            deleted_at
            """,
        ),
        "user_profiles": _own(
            "user_profiles",
            _OWN,
            """
            id user_id first_name last_name display_name date_of_birth preferred_currency timezone locale
            marketing_consent marketing_consent_at sms_consent sms_consent_at created_at updated_at
            """,
        ),
        "customer_statistics": _own(
            "customer_statistics",
            _OWN,
            """
            user_id currency total_orders total_spent last_order_at created_at updated_at
            """,
        ),
        "user_addresses": _own(
            "user_addresses",
            f"{_OWN} AND deleted_at IS NULL",
            """
            id user_id address_type is_default label recipient_name company street_line_1 street_line_2 city
            state_province postal_code country_code phone validated validated_at validation_source
            vendure_address_id created_at updated_at deleted_at
            """,
        ),
        "orders": _own(
            "orders",
            _OWN,
            """
            id order_number user_id customer_email customer_name customer_phone status status_updated_at
            delivery_stage shipping_address billing_address currency subtotal_amount discount_amount shipping_amount
            tax_amount total_amount amount_paid amount_due discount_code shipping_method shipping_carrier
            tracking_number estimated_delivery import_batch_id vendure_order_id customer_notes cancellation_reason
            payment_due_at created_at updated_at paid_at shipped_at delivered_at cancelled_at payment_at_source
            """,
        ),
        "order_items": _own(
            "order_items",
            _OF_OWN_ORDER,
            """
            id order_id position product_id variant_id product_sku product_name variant_title is_digital quantity
            unit_price currency subtotal_amount discount_amount tax_amount quantity_fulfilled quantity_cancelled
            quantity_returned quantity_refunded batch_number patch_enabled patch_type print_name print_number
            created_at
            """,
        ),
        "order_status_history": _own(
            "order_status_history",
            _OF_OWN_ORDER,
            """
            id order_id sequence from_status to_status created_at
            """,
        ),
        "payments": _own(
            "payments",
            _OF_OWN_ORDER,
            """
            id payment_reference order_id payment_method_id amount currency received_amount refunded_amount status
            customer_reference customer_notes created_at updated_at expires_at completed_at failed_at
            """,
        ),
        "refunds": _own(
            "refunds",
            _OF_OWN_ORDER,
            """
            id refund_reference payment_id order_id amount currency status refund_method processed_at created_at
            updated_at
            """,
        ),
        "store_credits": _own("store_credits", _OWN, "user_id currency balance created_at updated_at"),
        "store_credit_entries": _own(
            "store_credit_entries",
            _OWN,
            """
            id user_id currency amount reason order_id created_at
            """,
        ),
        "payment_methods": _own(
            "payment_methods",
            f"{_TENANT} AND {_SELF} IS NOT NULL",
            """
            id code method_type name is_active currency
            """,
        ),
    }
)
CUSTOMER_VIEWS: Final = frozenset({"customer_addresses", "customer_order_items", "customer_orders_summary"})
