-- The order that a paid quote has led to. A quote that was paid could be paid again for another purchase, by the same
-- wallet and also after its time, since its own row said nothing of an order and a purchase's id is the caller's choice.
--
-- Lock: ACCESS EXCLUSIVE on cart_quotes for an instant, to add a column that rewrites nothing. Before the new code. No
-- foreign key, which would lock orders: no order is ever removed.

ALTER TABLE {cart_quotes} ADD COLUMN order_id UUID;
