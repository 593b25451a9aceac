-- What pgbench sends: the row of the ledger that bench/payments.py has recorded through the Python API, and nothing beside
-- it: no look at the receiving account, no signature kept for ever.
\set number random(1, 9000000000000000000)
INSERT INTO payment_transactions (tenant_id, signature, resource_id, wallet, amount, amount_asset, account, metadata)
VALUES ('default', 'sig' || lpad(to_hex(:number::bigint), 16, '0') || repeat('5', 68), 'cart_5f2b7d1c9e4a4f0b8d6c3a2e1f0b9c8d',
        '4Nd1mYvKfZ3wzYz7S8pXkDkq9m1hFq2B3dYt6oR5uA1x', 12500000, 'USDC', '9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin', '{}');
