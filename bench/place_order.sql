-- What pgbench sends: one order of one line, equal to the one that bench/orders.py places through the Python API.
-- A space follows each colon that pgbench might take for a variable. {uuid} is uuidv7 where PostgreSQL has it. The jsonb
-- is read from text here, as it is when asyncpg sends it.
\set variant random(1, 1000)
\set number random(1, 281474976710655)
SELECT ordinal, verdict, answer
  FROM place_orders_v2('default', (
       '[{"ordinal": 0,"id":"' || {uuid}() || '","order_number":"' || lpad(to_hex(:number::bigint), 12, '0')
    || '","history_id":"' || {uuid}() || '","webhook_id":"' || {uuid}() || '","payment_id":"' || {uuid}()
    || '","payment_reference":"PAY-' || lpad(to_hex(:number::bigint), 12, '0') || '","payment_method":"zelle",'
    || '"source":"storefront","lines":[{"id":"' || {uuid}() || '","variant_id":"00000000-0000-7000-8000-'
    || lpad(:variant::int::text, 12, '0') || '","quantity": 1}],"any_cart": true,"customer_email":"ann@example.com",'
    || '"customer_name":"Ann Buyer","shipping_address":{"recipient_name":"Ann Buyer","street_line_1":"1 Main Street",'
    || '"street_line_2": null,"company": null,"phone": null,"city":"Albany","state_province":"NY","postal_code":"12207","country_code":"US"},"actor_kind":"system",'
    || '"actor_name":"system"}]')::jsonb,
       '{"currency":"USD","order_window":"P7D","open_orders_max": 20,"compliance_required": false}');
