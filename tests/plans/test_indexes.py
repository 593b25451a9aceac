"""The index that the documents name for a question answers it."""

from __future__ import annotations

import asyncpg
import pytest

from filled import Plan

pytestmark = pytest.mark.timeout(600)  # whoever comes first fills the database

# statement, index, the requirements that ask for it
ANSWERS = [
    ("identity.credentials", "idx_users_email", "SBB-IDX-01 SBB-USR-13 STO-USR-05"),
    ("identity.user_by_email", "idx_users_email", "SBB-USR-13"),
    ("identity.users_of_status", "idx_users_status", "SBB-USR-14"),
    ("identity.users_newest", "idx_users_created", "SBB-USR-16"),
    ("identity.profile", "user_profiles_user_unique", "SBB-PROF-07"),
    ("identity.authenticated", "idx_auth_sessions_user", "SBB-IDX-02 SBB-SES-06"),
    ("identity.expire_sessions", "idx_auth_sessions_expires", "SBB-SES-07"),
    ("identity.lock_ended", "idx_auth_sessions_cleanup", "SBB-SES-08"),
    ("identity.addresses", "idx_user_addresses_user", "SBB-ADDR-07"),
    ("identity.default_address", "idx_user_addresses_default", "SBB-ADDR-08"),
    ("verification.take_try", "otp_sessions_session_unique", "SIG-IDX-04"),
    ("verification.forget_codes", "otp_sessions_phone_unique", "SIG-IDX-04"),
    ("verification.tenants_with_expired", "idx_otp_sessions_expires", "SIG-IDX-04"),
    ("catalog.product_summaries", "idx_products_status", "SBB-IDX-03 SBB-PROD-16 CED-PRD-03"),
    ("catalog.product_summaries", "idx_products_type", "SBB-PROD-17"),
    ("catalog.find_variants", "products_sku_unique", "SBB-PROD-18 STO-VAR-05"),
    ("catalog.product_hits", "idx_products_search", "STO-PROD-05"),
    ("catalog.product_id_by_stripe_price_id", "product_variants_stripe_unique", "CED-PRD-03"),
    ("catalog.subtree", "idx_product_categories_parent", "SBB-CAT-05"),
    ("catalog.unassign", "idx_pca_category", "SBB-CAT-05"),
    ("catalog.lock_usable_batches", "idx_product_batches_product", "SBB-BAT-06"),
    ("catalog.due_batches", "idx_product_batches_expiry", "SBB-BAT-07"),
    ("integration.claim", "idx_webhook_queue_status", "CED-WQ-03 SBB-WOUT-05"),
    ("integration.webhooks_listed", "idx_webhook_queue_created", "CED-WQ-04"),
    ("integration.purge", "idx_webhook_queue_completed", "CED-WQ-04"),
    ("integration.webhooks_of", "idx_webhook_queue_entity", "SBB-WOUT-06"),
    ("inbox.claim", "idx_webhooks_inbox_pending", "SBB-WIN-08 SBB-IDX-14"),
    ("inbox.entries", "idx_webhooks_inbox_status", "SBB-WIN-09"),
    ("inbox.entries", "idx_webhooks_inbox_source", "SBB-WIN-09"),
    ("inbox.entries", "idx_webhooks_inbox_received", "SBB-WIN-09"),
    ("conversions.claim", "idx_events_status", "STO-EVT-07"),
    ("erp.users_unsynced", "idx_users_erp_sync", "SBB-USR-15"),
    ("erp.products_unsynced", "idx_products_erp_sync", "SBB-PROD-19"),
    ("erp.orders_unsynced", "idx_orders_erp_sync", "SBB-ORD-22 SBB-IDX-13"),
    ("erp.payments_unsynced", "idx_payments_erp_sync", "SBB-PAY-13 SBB-IDX-13"),
    ("erp.refunds_unsynced", "idx_refunds_erp_sync", "SBB-IDX-13"),
    ("carts.active_of_user", "idx_carts_user_active", "SBB-IDX-04 SBB-CART-10"),
    ("carts.active_of_anonymous", "idx_carts_anonymous", "SBB-CART-11 SBB-MRG-01"),
    ("carts.tenants_with_idle", "idx_carts_abandoned", "SBB-CART-12 SBB-IDX-12"),
    ("carts.lines", "cart_items_unique", "SBB-CI-05"),
    ("orders.orders_page", "idx_orders_user", "SBB-IDX-05 SBB-ORD-20"),
    ("orders.orders_page", "idx_orders_status", "SBB-IDX-08 SBB-ORD-20"),
    ("orders.orders_filtered", "idx_orders_created", "SBB-IDX-09 SBB-ORD-20 CED-ORD-03"),
    ("orders.order_id_of_number", "orders_number_unique", "SBB-IDX-06 SBB-ORD-20 SIG-IDX-02"),
    ("orders.orders_awaiting_payment", "idx_orders_pending_payment", "SBB-ORD-21"),
    ("orders.lines", "idx_order_items_order", "SBB-OI-08"),
    ("orders.customer_summaries", "idx_orders_user", "SIG-IDX-02"),
    ("orders.customer_by_vendure_id", "users_vendure_unique", "SIG-IDX-01"),
    ("orders.customer_by_email", "idx_users_email", "SIG-IDX-01"),
    ("orders.customer_by_phone", "users_phone_unique", "SIG-IDX-01"),
    ("orders.active_customers_page", "idx_users_active", "SIG-IDX-01"),
    ("orders.customers_consenting", "idx_user_profiles_marketing", "SIG-CUS-08"),
    ("orders.history", "order_status_history_sequence_unique", "SBB-OSH-03 CED-OH-02"),
    ("orders.changes_page", "idx_order_status_history_created", "SBB-OSH-03"),
    ("payments.payments_of_order", "idx_payments_order", "SBB-PAY-11"),
    ("payments.payments_listed", "idx_payments_status", "SBB-PAY-11"),
    ("payments.payment_by_reference", "payments_reference_unique", "SBB-PAY-11"),
    ("payments.payments_to_review", "idx_payments_pending", "SBB-IDX-07 SBB-PAY-12"),
    ("payments.expire_overdue", "idx_payments_pending", "SBB-IDX-11 SBB-PAY-12"),
    ("payments.active_methods", "idx_payment_methods_active", "SBB-PM-09"),
    ("refunds.refunds_of_payment", "idx_refunds_payment", "SBB-REF-07"),
    ("refunds.refunds_of_order", "idx_refunds_order", "SBB-REF-07"),
    ("refunds.refunds_page", "idx_refunds_status", "SBB-REF-07"),
    ("refunds.newest_quote", "idx_refund_quotes_tenant_original", "CED-RQ-03"),
    ("refunds.purchases_of_orders", "idx_orders_purchase", "CED-RQ-03"),
    ("refunds.delete_expired_quotes", "idx_refund_quotes_tenant_expires", "CED-RQ-03"),
    ("refunds.open_quotes", "idx_refund_quotes_tenant", "CED-RQ-03"),
    ("verification.delete_expired_nonces", "idx_admin_nonces_tenant_expires", "CED-NON-03"),
    ("payments.attempts_of", "payment_attempts_number_unique", "SBB-PA-06"),
    ("payments.recent_attempts", "idx_payment_attempts_created", "SBB-PA-06"),
    ("hosted.sessions_newest", "idx_stripe_sessions_tenant_resource", "CED-STR-03"),
    ("hosted.sessions_newest", "idx_stripe_sessions_tenant_status", "CED-STR-03"),
    ("hosted.lock_session", "stripe_sessions_pkey", "CED-OP-082"),
    ("hosted.transactions_newest", "idx_mpgs_transactions_order", "RED-MPGS-12"),
    ("hosted.transactions_newest", "idx_mpgs_transactions_reference", "RED-MPGS-12"),
    ("hosted.claim_open_transactions", "idx_mpgs_transactions_status", "RED-MPGS-12"),
    ("hosted.lock_transaction", "mpgs_transactions_session_unique", "RED-MPGS-04"),
    ("promotions.typed_coupons", "idx_coupons_code", "SBB-DISC-08"),
    ("promotions.active_coupons", "idx_coupons_active", "SBB-DISC-09 CED-CPN-06"),
    ("promotions.expiring_coupons", "idx_coupons_expires", "CED-CPN-06"),
    ("promotions.automatic_coupons", "idx_coupons_auto_apply", "CED-CPN-04"),
    ("promotions.coupons_of_product", "idx_coupons_product_ids", "CED-CPN-05"),
    ("wallets.transactions_listed", "idx_payment_transactions_tenant_resource", "CED-TX-03"),
    ("wallets.transactions_listed", "idx_payment_transactions_tenant_wallet", "CED-TX-03"),
    ("wallets.transactions_listed", "idx_payment_transactions_tenant_created", "CED-TX-03"),
    ("wallets.tenants_to_archive", "idx_payment_transactions_tenant_created", "CED-TX-03"),
    ("wallets.quotes_listed", "idx_cart_quotes_tenant", "CED-CQ-03"),
    ("wallets.quotes_lapsed", "idx_cart_quotes_tenant_expires", "CED-CQ-03"),
    ("wallets.remove_lapsed", "idx_cart_quotes_tenant_expires", "CED-CQ-03"),
    ("guests.blocked_for_s", "idx_guest_user_audits_email", "RED-GUEST-07"),
    ("guests.blocked_for_s", "idx_guest_user_audits_phone", "RED-GUEST-07"),
    ("guests.blocked_for_s", "idx_guest_user_audits_order", "RED-GUEST-07"),
    ("guests.attempts_newest", "idx_guest_user_audits_created", "RED-GUEST-06"),
    ("sap.invoice_audits_newest", "idx_invoice_audits_order", "RED-INV-06"),
    ("sap.invoice_audits_newest", "idx_invoice_audits_number", "RED-INV-06"),
    ("sap.claim_customers", "idx_customer_syncs_due", "RED-CUST-08"),
    ("sap.customers_waiting", "idx_customer_syncs_waiting", "RED-CUST-08"),
    ("domains.active_domain", "domains_name_unique", "RED-DOM-02 RED-DOM-04"),
    ("subscriptions.subscription_of_wallet", "idx_subscriptions_wallet_product", "CED-SUB-04"),
    ("subscriptions.subscriptions_of_stripe_customer", "idx_subscriptions_stripe_customer", "CED-SUB-04"),
    ("subscriptions.subscriptions_of_status", "idx_subscriptions_status", "CED-SUB-04"),
    ("subscriptions.subscriptions_expiring", "idx_subscriptions_period_end", "CED-SUB-04"),
    ("subscriptions.claim_due", "idx_subscriptions_period_end", "CED-SUB-04 CED-SUB-05"),
    ("analytics.events_listed", "idx_events_name", "SBB-EVT-10"),
    ("analytics.events_listed", "idx_events_category", "SBB-EVT-10"),
    ("analytics.events_listed", "idx_events_session", "SBB-EVT-10"),
    ("analytics.events_listed", "idx_events_created", "SBB-EVT-10"),
    ("analytics.events_listed", "idx_events_user", "SBB-EVT-11"),
    ("analytics.events_of_anonymous", "idx_events_anonymous", "SBB-EVT-11"),
    ("analytics.link_events", "idx_events_anonymous", "SBB-EVT-11 SBB-EVT-18"),
    ("analytics.events_of_order", "idx_events_order", "SBB-EVT-11"),
    ("analytics.last_of_user", "idx_events_user_name", "SBB-EVT-12"),
    ("analytics.events_of_campaign", "idx_events_attribution", "SBB-EVT-13"),
    ("audit.entries", "idx_audit_logs_user", "SBB-AUD-05"),
    ("audit.entries", "idx_audit_logs_resource", "SBB-AUD-05"),
    ("audit.entries", "idx_audit_logs_action", "SBB-AUD-05"),
    ("audit.entries", "idx_audit_logs_created", "SBB-AUD-05"),
    ("inventory.active_for_cart", "idx_inventory_reservations_cart", "CED-IR-03"),
    ("inventory.expired", "idx_inventory_reservations_variant", "CED-IR-03"),
]

# Questions that operators ask in SQL, and no statement of ours: the index stands for a foreign key as well.
ASKED_BY_HAND = [
    ("SELECT 1 FROM payments WHERE tenant_id = $1 AND user_id = $2", "idx_payments_user", "SBB-PAY-11"),
    ("SELECT 1 FROM order_items WHERE tenant_id = $1 AND product_id = $2", "idx_order_items_product", "SBB-OI-08"),
    ("SELECT 1 FROM cart_items WHERE tenant_id = $1 AND product_id = $2", "idx_cart_items_product", "SBB-CI-05"),
    (
        "SELECT 1 FROM inventory_reservations WHERE tenant_id = $1 AND variant_id = $2 ORDER BY created_at DESC LIMIT 1",
        "idx_inventory_reservations_variant",
        "CED-IR-03",
    ),
]


def case(statement: str, index: str, requirements: str) -> object:
    return pytest.param(
        statement, index, marks=pytest.mark.requirement(*requirements.split()), id=f"{statement[:40]}-{index}"
    )


@pytest.mark.parametrize(("statement", "index"), [case(*answer) for answer in ANSWERS])
async def test_the_named_index_answers(plans: list[Plan], statement: str, index: str) -> None:
    used = set().union(*(plan.indexes for plan in plans if plan.query == statement))
    assert used, f"no such statement: {statement}"
    assert index in used


@pytest.mark.parametrize(("statement", "index"), [case(*answer) for answer in ASKED_BY_HAND])
async def test_the_named_index_answers_by_hand(filled: asyncpg.Connection, statement: str, index: str) -> None:
    await filled.execute("SET plan_cache_mode = force_generic_plan")
    await filled.execute(f"PREPARE by_hand (text, uuid) AS {statement}")
    try:
        plan = await filled.fetchval("EXPLAIN (FORMAT JSON) EXECUTE by_hand(NULL, NULL)")
    finally:
        await filled.execute("DEALLOCATE by_hand")
    assert index in plan
