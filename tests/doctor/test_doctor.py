"""Every check finds its fault, and no other check is disturbed by it."""

from dataclasses import dataclass

import pytest
from ward import Ward

from storeroom.database.pool import Transaction
from storeroom.doctor import Gravity, Result, examine
from storeroom.doctor.model import FINDINGS_SHOWN_MAX
from storeroom.doctor.service import CHECKS


@dataclass
class Fault:
    """What somebody did past the service, in SQL."""

    check: str
    count: int
    sql: str  # {name}: an id of the ward


SEALED_FIRST = "(SELECT audit_ids[1] FROM audit_seals WHERE number = 1)"

# A total that changed changes what the customer bought, which is no fault of these.
RECOUNTED = ";\nSELECT update_customer_statistics(tenant_id, user_id) FROM orders WHERE id = '{pending}'"
# A message that a handler has done with, of the shop of an order that was paid.
MESSAGE = """INSERT INTO webhooks_inbox (tenant_id, id, source, webhook_type, status, headers, payload, signature_valid, {columns})
    SELECT tenant_id, gen_random_uuid(), 'shippo', 'x', 'pending', '{{{{}}}}', '{{{{}}}}', TRUE, {values}
      FROM orders
     WHERE id = '{{paid}}'"""
QUEUED = """INSERT INTO webhook_queue (tenant_id, id, destination, event_type, payload, entity_type, entity_id, next_attempt_at)
    SELECT tenant_id, {id}, '{destination}', 'x', '{{{{}}}}', 'order', id, now() - INTERVAL '1 hour' * {hours}
      FROM orders
     WHERE id = '{{paid}}'"""
FAULTS = [
    Fault("reserved_is_explained", 1, "UPDATE stock_levels SET reserved = reserved + 1 WHERE variant_id = '{shirt}'"),
    Fault("reserved_is_explained", 1, "UPDATE stock_levels SET reserved = 0 WHERE variant_id = '{shirt}'"),
    Fault("reserved_is_explained", 1, "DELETE FROM inventory_reservations WHERE status = 'active'"),
    Fault("on_hand_is_explained", 1, "UPDATE stock_levels SET on_hand = on_hand + 1 WHERE variant_id = '{shirt}'"),
    Fault("on_hand_is_explained", 1, "DELETE FROM stock_movements WHERE kind = 'adjustment'"),
    Fault(
        "reservations_became_orders", 1, "UPDATE inventory_reservations SET order_id = NULL WHERE status = 'converted'"
    ),
    Fault(
        "reservations_became_orders",
        1,
        "UPDATE inventory_reservations SET order_id = gen_random_uuid() WHERE status = 'converted'",
    ),
    Fault(
        "shipped_units_are_on_lines",
        1,
        """UPDATE stock_levels SET on_hand = on_hand - 1 WHERE variant_id = '{shirt}';
        INSERT INTO stock_movements (tenant_id, id, variant_id, kind, quantity, on_hand_after, order_id, actor_kind)
        SELECT tenant_id, gen_random_uuid(), variant_id, 'shipment', -1, on_hand, '{paid}', 'admin'
          FROM stock_levels WHERE variant_id = '{shirt}'""",
    ),
    Fault("batches_gave_what_was_taken", 1, "UPDATE product_batches SET quantity_remaining = 36 WHERE id = '{batch}'"),
    Fault(
        "batches_gave_what_was_taken", 1, "UPDATE order_items SET batch_id = '{other_batch}' WHERE batch_id = '{batch}'"
    ),
    Fault(
        "lines_hold_what_is_open",
        1,
        """UPDATE order_items SET quantity_held = quantity_held - 1 WHERE order_id = '{pending}';
        UPDATE stock_levels SET reserved = reserved - 1 WHERE variant_id = '{shirt}'""",
    ),
    Fault(
        "lines_hold_what_is_open",
        1,
        "UPDATE order_items SET quantity_fulfilled = 0 WHERE order_id = '{sent}' AND variant_id = '{file}'",
    ),
    Fault("lines_hold_what_is_open", 1, "UPDATE order_items SET quantity_cancelled = 0 WHERE order_id = '{cancelled}'"),
    Fault(
        "totals_are_their_lines",
        1,
        "UPDATE orders SET subtotal_amount = 1, total_amount = 1 + shipping_amount WHERE id = '{pending}'" + RECOUNTED,
    ),
    Fault(
        "totals_are_their_lines",
        1,
        """ALTER TABLE orders DROP CONSTRAINT orders_total_sum;
        UPDATE orders SET total_amount = total_amount + 1 WHERE id = '{pending}'"""
        + RECOUNTED,
    ),
    Fault("totals_are_their_lines", 1, "DELETE FROM order_items WHERE order_id = '{untracked}'"),
    Fault("discounts_are_explained", 1, "UPDATE order_discounts SET amount = 1 WHERE order_id = '{discounted}'"),
    Fault("discounts_are_explained", 1, "UPDATE order_items SET discount_amount = 1 WHERE order_id = '{pending}'"),
    Fault("discounts_are_explained", 1, "DELETE FROM order_discounts WHERE order_id = '{discounted}'"),
    Fault("uses_of_coupons_are_counted", 1, "UPDATE coupons SET usage_count = 0"),
    Fault(
        "uses_of_coupons_are_counted",
        1,
        "UPDATE coupon_redemptions SET released_at = NULL WHERE order_id = '{given_back}';"
        "UPDATE coupons SET usage_count = 2",
    ),
    Fault(
        "uses_of_coupons_are_counted",
        1,
        "UPDATE coupon_redemptions SET released_at = now() WHERE order_id = '{discounted}'",
    ),
    Fault("currencies_agree", 1, "UPDATE order_items SET currency = 'EUR' WHERE order_id = '{pending}'"),
    Fault("currencies_agree", 1, "UPDATE payments SET currency = 'EUR' WHERE id = '{asked}'"),
    Fault("paid_is_what_arrived", 1, "UPDATE orders SET amount_paid = 1 WHERE id = '{pending}'"),
    Fault("paid_is_what_arrived", 1, "UPDATE orders SET amount_paid = 0 WHERE id = '{paid}'"),
    Fault("credit_is_its_entries", 1, "UPDATE store_credits SET balance = balance + 1"),
    Fault("credit_is_its_entries", 1, "DELETE FROM store_credit_entries WHERE amount < 0"),
    Fault("statistics_are_their_orders", 1, "UPDATE customer_statistics SET total_orders = total_orders + 1"),
    Fault("statistics_are_their_orders", 1, "UPDATE customer_statistics SET total_spent = total_spent - 1"),
    Fault("statistics_are_their_orders", 1, "UPDATE customer_statistics SET last_order_at = now() + INTERVAL '1 day'"),
    Fault("statistics_are_their_orders", 1, "DELETE FROM customer_statistics"),
    Fault("refunds_fit_their_orders", 1, "DELETE FROM webhook_queue WHERE entity_id = '{refund_check}'"),
    Fault(
        "refunds_fit_their_orders",
        1,
        """UPDATE store_credit_entries SET refund_id = NULL WHERE refund_id = '{refund_store_credit}'""",
    ),
    Fault("refunds_fit_their_orders", 1, "UPDATE refunds SET order_id = '{paid}' WHERE id = '{promised}'"),
    Fault("refunds_fit_their_orders", 1, "UPDATE refunds SET currency = 'EUR' WHERE id = '{promised}'"),
    Fault("refunds_fit_their_orders", 1, "UPDATE order_items SET quantity_refunded = 2 WHERE order_id = '{returned}'"),
    Fault("refunds_fit_their_orders", 1, "DELETE FROM refund_items WHERE refund_id = '{refund_check}'"),
    Fault(
        "refunds_fit_their_payments",
        1,
        "UPDATE payments SET refunded_amount = 2199 WHERE order_id = '{returned}'",
    ),
    Fault(
        "refunds_fit_their_payments",
        1,
        """UPDATE refunds SET amount = amount + 1 WHERE id = '{refund_check}';
        UPDATE orders SET amount_paid = amount_paid - 1 WHERE id = '{returned}'"""
        + RECOUNTED.replace("pending", "returned"),
    ),
    Fault(
        "quotes_fit_their_purchases",
        1,
        """INSERT INTO refund_quotes (tenant_id, id, original_purchase_id, recipient_wallet, amount, amount_asset, token,
        token_decimals, status, expires_at) SELECT tenant_id, 'rq-1', signature, wallet, amount + 1, amount_asset,
        amount_asset, 6, 'approved', now() FROM payment_transactions ORDER BY signature LIMIT 1""",
    ),
    Fault("disputes_fit_their_payments", 1, "UPDATE disputes SET currency = 'EUR' WHERE id = '{dispute}'"),
    Fault("disputes_fit_their_payments", 1, "UPDATE refunds SET refund_method = 'other' WHERE id = '{chargeback}'"),
    Fault("disputes_fit_their_payments", 1, "UPDATE disputes SET refund_id = NULL WHERE id = '{dispute}'"),
    Fault("refunds_fit_their_payments", 1, "UPDATE payments SET status = 'refunded' WHERE order_id = '{paid}'"),
    Fault(
        "refunds_fit_their_payments",
        1,
        "UPDATE payments SET refunded_amount = 1 WHERE order_id = '{paid}'",
    ),
    Fault(
        "refunds_fit_their_payments",
        1,
        "UPDATE payments SET status = 'partially_refunded', refunded_amount = received_amount WHERE order_id = '{paid}'",
    ),
    Fault(
        "paid_orders_moved_on",
        1,
        """UPDATE orders SET discount_amount = subtotal_amount, total_amount = shipping_amount WHERE id = '{pending}';
        UPDATE order_items SET discount_amount = subtotal_amount WHERE order_id = '{pending}';
        INSERT INTO order_discounts (tenant_id, order_id, position, coupon_id, code, applies_at, auto_apply, amount, currency)
        SELECT o.tenant_id, o.id, 1, c.id, c.code, 'checkout', FALSE, o.subtotal_amount, 'USD'
          FROM orders o, coupons c WHERE o.id = '{pending}'"""
        + RECOUNTED,
    ),
    Fault("history_is_unbroken", 1, "DELETE FROM order_status_history WHERE order_id = '{sent}' AND sequence = 4"),
    Fault(
        "history_is_unbroken",
        1,
        "UPDATE order_status_history SET sequence = 9 WHERE order_id = '{sent}' AND sequence = 5",
    ),
    Fault("history_is_unbroken", 1, "UPDATE orders SET status = 'ready_to_ship' WHERE id = '{paid}'"),
    Fault(
        "moves_were_allowed",
        1,
        """UPDATE order_status_history SET to_status = 'ready_to_ship' WHERE order_id = '{sent}' AND sequence = 3;
        UPDATE order_status_history SET from_status = 'ready_to_ship' WHERE order_id = '{sent}' AND sequence = 4""",
    ),
    Fault(
        "moves_were_allowed",
        2,
        """UPDATE order_status_history SET to_status = 'delivered' WHERE order_id = '{paid}' AND sequence = 1;
        UPDATE order_status_history SET from_status = 'delivered' WHERE order_id = '{paid}' AND sequence = 2""",
    ),
    Fault("orders_have_history", 1, "DELETE FROM order_status_history WHERE order_id = '{paid}'"),
    Fault("placed_orders_are_told", 1, "DELETE FROM webhook_queue WHERE entity_id = '{pending}'"),
    Fault("payments_are_told", 4, "DELETE FROM webhook_queue WHERE event_type = 'payment.completed'"),
    Fault(
        "converted_carts_have_their_order",
        2,  # seen from the cart, and from the order
        "UPDATE carts SET converted_to_order_id = '{pending}' WHERE id = '{converted_cart}'",
    ),
    Fault("converted_carts_have_their_order", 1, "UPDATE orders SET source_cart_id = NULL WHERE id = '{from_cart}'"),
    Fault(
        "converted_carts_have_their_order",
        1,
        "UPDATE orders SET source_cart_id = '{active_cart}' WHERE id = '{pending}'",
    ),
    Fault("ended_carts_hold_nothing", 1, "UPDATE carts SET status = 'abandoned' WHERE id = '{active_cart}'"),
    Fault("cart_totals_are_their_lines", 1, "UPDATE carts SET subtotal_amount = 1 WHERE id = '{active_cart}'"),
    Fault("cart_totals_are_their_lines", 1, "DELETE FROM cart_items WHERE cart_id = '{active_cart}'"),
    Fault("attempts_are_counted", 3, "DELETE FROM payment_attempts WHERE action = 'customer_submit'"),
    Fault("manual_payments_were_verified", 1, "UPDATE payments SET verified_at = NULL WHERE order_id = '{paid}'"),
    Fault("products_can_be_sold", 1, "DELETE FROM stock_levels WHERE variant_id = '{file}'"),
    Fault(
        "products_can_be_sold",
        1,
        """INSERT INTO products (tenant_id, id, name, slug, currency)
        SELECT tenant_id, gen_random_uuid(), 'Empty', 'empty', 'USD' FROM tenants""",
    ),
    Fault("tenants_are_known", 4, "DELETE FROM tenants"),
    Fault("tenants_are_known", 1, "INSERT INTO tenant_hosts (host, tenant) VALUES ('ghost.example', 'ghost')"),
    Fault(
        "settled_keys_have_their_order",
        1,
        "UPDATE idempotency_keys SET response = response || jsonb_build_object('id', gen_random_uuid())",
    ),
    Fault("entries_are_as_sealed", 1, f"UPDATE audit_logs SET action = 'nothing' WHERE id = {SEALED_FIRST}"),
    Fault(
        "entries_are_as_sealed",
        1,
        f"UPDATE audit_logs SET created_at = created_at - INTERVAL '1 microsecond' WHERE id = {SEALED_FIRST}",
    ),
    Fault("entries_are_as_sealed", 1, f"DELETE FROM audit_logs WHERE id = {SEALED_FIRST}"),
    Fault(
        "seals_are_a_chain",
        1,
        f"""UPDATE audit_logs SET action = 'nothing' WHERE id = {SEALED_FIRST};
        UPDATE audit_seals
           SET row_hashes[1] = (SELECT row_hash FROM audit_row_hashes WHERE id = audit_ids[1])
         WHERE number = 1""",
    ),
    Fault("seals_are_a_chain", 2, "UPDATE audit_seals SET hash = sha256('x') WHERE number = 1"),
    Fault("seals_are_a_chain", 1, "UPDATE audit_seals SET number = 3 WHERE number = 2"),
    Fault(
        "entries_are_sealed_or_wait",
        1,
        """INSERT INTO audit_logs (tenant_id, id, actor_kind, action, resource_type)
        SELECT tenant_id, gen_random_uuid(), 'admin', 'orders.ship', 'order' FROM orders LIMIT 1""",
    ),
    Fault("history_is_locked", 1, "GRANT UPDATE ON order_status_history TO storeroom_app"),
    Fault("history_is_locked", 1, "GRANT UPDATE (reason) ON stock_movements TO storeroom_app"),
    Fault("history_is_locked", 2, "GRANT DELETE, TRUNCATE ON orders TO storeroom_tenant"),
    Fault(
        "units_are_oversold",
        1,
        """INSERT INTO stock_movements (tenant_id, id, variant_id, kind, quantity, on_hand_after, actor_kind)
        SELECT tenant_id, gen_random_uuid(), variant_id, 'count', 1 - on_hand, 1, 'admin'
          FROM stock_levels WHERE variant_id = '{shirt}';
        UPDATE stock_levels SET on_hand = 1 WHERE variant_id = '{shirt}'""",
    ),
    Fault(
        "money_is_due_back",
        1,
        """UPDATE payments SET received_amount = received_amount + 1 WHERE order_id = '{paid}';
        UPDATE orders SET amount_paid = amount_paid + 1 WHERE id = '{paid}'""",
    ),
    Fault(
        "transactions_agree_with_payments",
        1,
        "UPDATE payment_transactions SET amount = amount + 1 WHERE payment_id IS NOT NULL",
    ),
    Fault(
        "transactions_agree_with_payments",
        1,
        "UPDATE payment_transactions_archive SET amount_asset = 'USDT' WHERE payment_id IS NOT NULL",
    ),
    Fault(
        "signatures_are_kept_once",
        1,
        """INSERT INTO payment_transactions (tenant_id, signature, resource_id, wallet, amount, amount_asset)
        SELECT tenant_id, signature, resource_id, wallet, amount, amount_asset FROM payment_transactions_archive""",
    ),
    Fault("signatures_are_kept_once", 2, "DELETE FROM payment_signatures"),
    Fault(
        "accounts_have_one_shop",
        1,
        """INSERT INTO receiving_accounts (tenant_id, id, asset, address, label)
        SELECT 'ghost', gen_random_uuid(), asset, address, label FROM receiving_accounts""",
    ),
    Fault(
        "accounts_say_what_sap_has",
        1,
        """INSERT INTO customer_syncs (tenant_id, id, customer_email, customer_id, sap_sync, sap_customer_code, sap_synced_at)
        SELECT tenant_id, id, email, id, TRUE, '4711', now() FROM users WHERE deleted_at IS NULL ORDER BY id LIMIT 1""",
    ),
    Fault(
        "jobs_are_late",
        1,
        """INSERT INTO customer_syncs (tenant_id, id, customer_email, next_attempt_at)
        SELECT tenant_id, id, 'waits@buyer.example', now() - INTERVAL '1 hour' FROM orders ORDER BY id LIMIT 1;
        INSERT INTO store_configs (tenant_id, key, value, group_name)
        SELECT tenant_id, 'sap.address', 'x', 'sap' FROM orders ORDER BY id LIMIT 1""",
    ),
    Fault("messages_found_what_exists", 1, MESSAGE.format(columns="related_order_id", values="gen_random_uuid()")),
    Fault("messages_found_what_exists", 1, MESSAGE.format(columns="related_payment_id", values="gen_random_uuid()")),
    Fault(
        "messages_found_what_exists",
        1,
        MESSAGE.format(columns="related_order_id, related_payment_id", values="id, '{asked}'"),
    ),
    Fault("jobs_are_late", 1, MESSAGE.format(columns="next_attempt_at", values="now() - INTERVAL '1 hour'")),
    Fault("erp_links_are_whole", 1, "UPDATE orders SET erp_synced_at = now() WHERE id = '{paid}'"),
    Fault("erp_links_are_whole", 1, "UPDATE orders SET erp_order_id = 'SO-1' WHERE id IN ('{paid}', '{pending}')"),
    Fault("erp_links_are_whole", 1, "UPDATE order_items SET erp_line_id = 'SO-1-1' WHERE order_id = '{pending}'"),
    Fault("jobs_are_late", 1, QUEUED.format(id="gen_random_uuid()", destination="nobodys", hours=2)),
    Fault(
        "jobs_are_late",
        1,
        QUEUED.format(id="gen_random_uuid()", destination="held", hours=0)
        + """;
        UPDATE webhook_queue SET status = 'processing', claim = id, lease_until = now() - INTERVAL '2 hours', attempts = 1
         WHERE destination = 'held'""",
    ),
    Fault("jobs_are_late", 1, "UPDATE inventory_reservations SET expires_at = now() - INTERVAL '1 hour'"),
    Fault("jobs_are_late", 1, "UPDATE payments SET expires_at = now() - INTERVAL '1 hour'"),
    Fault("jobs_are_late", 1, "UPDATE orders SET payment_due_at = now() - INTERVAL '1 hour'"),
    Fault("jobs_are_late", 1, "UPDATE carts SET expires_at = now() - INTERVAL '1 hour'"),
    Fault(
        "jobs_are_late",
        1,
        """INSERT INTO audit_unsealed (tenant_id, audit_id, row_created_at, created_at)
        SELECT tenant_id, gen_random_uuid(), now(), now() - INTERVAL '1 hour' FROM orders LIMIT 1""",
    ),
    Fault(
        "jobs_are_late",
        1,
        """INSERT INTO analytics_events (tenant_id, id, event_name, payload, next_attempt_at)
        SELECT tenant_id, id, 'Purchase', '{{}}', now() - INTERVAL '1 hour' FROM orders ORDER BY id LIMIT 1""",
    ),
    Fault(
        "schedule_is_kept",
        2,
        "INSERT INTO scheduled_jobs (name, every, due_at, last_success_at, failures, last_error) VALUES "
        "('late', '1 s', now() - INTERVAL '11 minutes', NULL, 0, NULL), "
        "('failing', '1 s', now(), now() - INTERVAL '2 hours', 7, 'database.busy'), "
        "('slow', '1 day', now() - INTERVAL '11 minutes', NULL, 0, NULL), "
        "('failed', '1 s', now(), now() - INTERVAL '2 minutes', 1, 'database.busy')",
    ),
    Fault("jobs_are_late", 1, "UPDATE order_search SET document = NULL, created_at = now() - INTERVAL '1 hour'"),
    Fault(
        "late_money_is_of_its_order",
        1,
        """UPDATE payments p SET meant_for_id = e.id
          FROM (SELECT id, order_id FROM payments ORDER BY id LIMIT 1) e
         WHERE p.id = (SELECT id FROM payments WHERE order_id <> e.order_id ORDER BY id DESC LIMIT 1)""",
    ),
    Fault(
        "sent_links_are_there",
        1,
        "UPDATE order_items SET download_link_sent = TRUE WHERE id = (SELECT id FROM order_items ORDER BY id LIMIT 1)",
    ),
    Fault(
        "jobs_are_late",
        1,
        """UPDATE products SET file_path = tenant_id || '/goods/x.pdf', updated_at = now() - INTERVAL '1 hour';
        UPDATE orders SET paid_at = now() - INTERVAL '1 hour' WHERE paid_at IS NOT NULL;
        UPDATE order_items SET is_digital = TRUE""",
    ),
    Fault(
        "jobs_are_late",
        1,
        """INSERT INTO cart_reminders (tenant_id, id, cart_id, kind, waiting_since)
        SELECT tenant_id, id, id, 'abandoned', now() - INTERVAL '1 day' FROM carts ORDER BY id LIMIT 1
        ON CONFLICT (tenant_id, cart_id) DO UPDATE SET waiting_since = EXCLUDED.waiting_since""",
    ),
    Fault("retired_months_lie_about", 1, "CREATE TABLE events_y2020m01 (tenant_id TEXT)"),
]


QUIET = [  # nothing of this is late
    QUEUED.format(id="gen_random_uuid()", destination="nobodys", hours=0.5),
    """INSERT INTO webhook_endpoints (tenant_id, id, name, url, secret, is_active)
    SELECT tenant_id, id, 'off', 'https://off.example/', 'x', FALSE FROM orders ORDER BY id LIMIT 1""",
    QUEUED.format(id="gen_random_uuid()", destination="off", hours=2),
    "UPDATE webhook_queue SET endpoint_id = (SELECT id FROM webhook_endpoints) WHERE destination = 'off'",
    QUEUED.format(id="'00000000-0000-7000-8000-000000000001'", destination="epicor_propello", hours=-1),
    QUEUED.format(id="'00000000-0000-7000-8000-000000000002'", destination="epicor_propello", hours=2),
]


def found(results: list[Result]) -> dict[str, int]:
    return {result.name: result.count for result in results if result.count}


async def test_a_shop_at_work_has_no_finding(ward: Ward) -> None:
    """Asked with the rights of the service."""
    results = await examine(ward.db)
    assert [finding for result in results for finding in result.findings] == []
    assert [result.name for result in results] == [check.__name__ for check, _ in CHECKS]
    assert not any(result.broken for result in results)


async def test_what_may_not_leave_yet_is_not_late(ward: Ward, surgeon: Transaction) -> None:
    """An endpoint that is switched off, and an entity whose message before is tried again later."""
    for statement in QUIET:
        assert not (await surgeon.execute(statement.format(**ward.ids))).endswith(" 0"), "nothing was planted"
    assert found(await examine(surgeon)) == {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.check)
async def test_the_fault_is_found(ward: Ward, surgeon: Transaction, fault: Fault) -> None:
    assert found(await examine(surgeon)) == {}
    for statement in fault.sql.format(**ward.ids).split(";"):
        assert not (await surgeon.execute(statement)).endswith(" 0"), "nothing was planted"
    results = await examine(surgeon)
    assert found(results) == {fault.check: fault.count}
    (result,) = [result for result in results if result.count]
    assert len(result.findings) == fault.count
    for finding in result.findings:
        assert finding.tenant_id in (ward.shop.tenant_id, "ghost", "*")
        assert finding.subject
        assert finding.detail
    assert result.broken is (result.gravity is Gravity.BROKEN)


def test_every_check_has_its_fault() -> None:
    assert {fault.check for fault in FAULTS} == {check.__name__ for check, _ in CHECKS}


async def test_what_is_a_fact_is_no_fault(ward: Ward, surgeon: Transaction) -> None:
    """A count that came out low, money that is due back, a worker that sleeps: to be looked at, not to be repaired."""
    gravities = {check.__name__: gravity for check, gravity in CHECKS}
    notes = {name for name, gravity in gravities.items() if gravity is Gravity.NOTE}
    facts = {"accounts_have_one_shop", "units_are_oversold", "money_is_due_back", "jobs_are_late", "schedule_is_kept"}
    assert notes == facts | {"retired_months_lie_about"}
    for fault in FAULTS:
        if fault.check in notes:
            for statement in fault.sql.format(**ward.ids).split(";"):
                await surgeon.execute(statement)
    results = await examine(surgeon)
    assert found(results).keys() == notes
    assert not any(result.broken for result in results)


async def test_every_check_says_what_must_hold(ward: Ward) -> None:
    for result in await examine(ward.db):
        assert result.says.endswith("."), result
        assert "statement" not in result.says


async def test_a_long_list_of_findings_is_cut(surgeon: Transaction) -> None:
    await surgeon.execute(
        "INSERT INTO products (tenant_id, id, name, slug, currency) "
        "SELECT tenant_id, gen_random_uuid(), 'Empty', 'empty-' || n, 'USD' FROM tenants, generate_series(1, 40) AS n"
    )
    (result,) = [result for result in await examine(surgeon) if result.count]
    assert (result.name, result.count) == ("products_can_be_sold", FINDINGS_SHOWN_MAX + 1)
    assert len(result.findings) == FINDINGS_SHOWN_MAX
