"""Who may call what, written by hand: every route of the application under the right that it asks for.

    anyone      no token needed; a good one does no harm
    arrival     anyone but a program; a visitor without a token becomes a guest
    visitor     guests and accounts
    account     who is signed in, for what is theirs
    x.y         admins; staff and keys whose list has that permission
    x.y z.w     the same with both; the first that is missing is the one that is named

A route that is not here fails the tests, so nobody opens one without saying to whom.
"""

from typing import Final

RIGHTS: Final[dict[str, str]] = {
    "anyone": """
        GET /
        GET /docs/api
        GET /docs/errors
        GET /docs/errors/{error_code}
        GET /health
        GET /metrics
        GET /ready
        GET /schema
        GET /schema/openapi.json
        GET /schema/{path}
        POST /v1/auth/forgot-password
        POST /v1/auth/guest
        POST /v1/auth/nonce
        POST /v1/auth/otp/request
        POST /v1/auth/otp/resend
        POST /v1/auth/otp/verify
        POST /v1/auth/refresh
        POST /v1/auth/register
        POST /v1/auth/reset-password
        POST /v1/auth/second-factor
        POST /v1/auth/second-factor/confirm
        POST /v1/auth/second-factor/enrol
        POST /v1/auth/send-verification
        POST /v1/auth/sign-in
        POST /v1/auth/sign-in/provider
        POST /v1/auth/sign-out
        POST /v1/auth/verify-email
        POST /v1/cart-reminders/stop
        GET /v1/cart-quotes/{cart_quote_id}
        GET /v1/categories
        GET /v1/downloads/{token}
        POST /v1/checkout
        GET /v1/order-statuses
        POST /v1/orders/lookup
        POST /v1/orders/{number}/payments
        GET /v1/payment-methods
        GET /v1/payments/{reference}
        POST /v1/payments/{reference}/hosted-session
        POST /v1/payments/{reference}/proof
        GET /v1/products
        GET /v1/products/{slug}
        GET /v1/returns/{tenant}/mpgs/{reference}
        GET /v1/shipping-rates
        POST /v1/webhooks/{tenant}/{source}
    """,
    "account": """
        GET /v1/account
        PATCH /v1/account
        GET /v1/account/addresses
        GET /v1/account/consents
        GET /v1/account/providers
        DELETE /v1/account/providers/{provider}
        GET /v1/account/credit
        POST /v1/account/close
        GET /v1/account/export
        PUT /v1/account/email
        POST /v1/account/addresses
        DELETE /v1/account/addresses/{address_id}
        GET /v1/account/addresses/{address_id}
        PUT /v1/account/addresses/{address_id}
        PUT /v1/account/addresses/{address_id}/default
        GET /v1/account/orders
        GET /v1/account/orders/{number}
        PUT /v1/account/password
        GET /v1/account/subscriptions
        POST /v1/account/subscriptions/{subscription_id}/cancel
        POST /v1/account/subscriptions/{subscription_id}/reactivate
        GET /v1/account/second-factor
        POST /v1/account/second-factor
        POST /v1/account/second-factor/confirm
        POST /v1/account/second-factor/recovery-codes
        POST /v1/account/second-factor/remove
        DELETE /v1/account/sessions
        GET /v1/account/sessions
        DELETE /v1/account/sessions/{session_id}
    """,
    "settings.write": """
        GET /v1/admin/account-settings
        PUT /v1/admin/account-settings
        GET /v1/admin/notice-kinds
        GET /v1/admin/notice-templates
        POST /v1/admin/notice-templates
        POST /v1/admin/notice-templates/preview
        DELETE /v1/admin/notice-templates/{template_id}
        GET /v1/admin/notice-templates/{template_id}
        PATCH /v1/admin/notice-templates/{template_id}
        GET /v1/admin/configuration
        DELETE /v1/admin/configuration/{key}
        GET /v1/admin/configuration/{key}
        PUT /v1/admin/configuration/{key}
        GET /v1/admin/schedule
        GET /v1/admin/settings
        PATCH /v1/admin/settings
        GET /v1/admin/origins
        PUT /v1/admin/origins
        POST /v1/admin/payment-methods
        PUT /v1/admin/payment-methods/order
        DELETE /v1/admin/payment-methods/{method_id}
        PATCH /v1/admin/payment-methods/{method_id}
        POST /v1/admin/receiving-accounts
        PATCH /v1/admin/receiving-accounts/{account_id}
        POST /v1/admin/shipping-rates
        DELETE /v1/admin/shipping-rates/{rate_id}
        PUT /v1/admin/shipping-rates/{rate_id}
    """,
    "keys.write": """
        GET /v1/admin/api-keys
        POST /v1/admin/api-keys
        DELETE /v1/admin/api-keys/{key_id}
        GET /v1/admin/api-keys/{key_id}
    """,
    "audit.read": """
        GET /v1/admin/audit
        GET /v1/admin/guest-attempts
        GET /v1/admin/sap/invoice-audits
    """,
    "gateways.write": """
        GET /v1/admin/gateways
        POST /v1/admin/gateways
        PUT /v1/admin/gateways/order
        DELETE /v1/admin/gateways/{gateway_id}
        GET /v1/admin/gateways/{gateway_id}
        PATCH /v1/admin/gateways/{gateway_id}
        POST /v1/admin/gateways/{gateway_id}/activate
        POST /v1/admin/gateways/{gateway_id}/deactivate
    """,
    "erp.write": """
        GET /v1/admin/erp
        DELETE /v1/admin/erp/connection
        GET /v1/admin/erp/connection
        GET /v1/admin/erp/connection/test
        PUT /v1/admin/erp/connection
        POST /v1/admin/erp/resync
    """,
    "discounts.write": """
        GET /v1/admin/coupons
        POST /v1/admin/coupons
        GET /v1/admin/coupons/automatic
        GET /v1/admin/coupons/expiring
        DELETE /v1/admin/coupons/{code}
        GET /v1/admin/coupons/{code}
        PATCH /v1/admin/coupons/{code}
        GET /v1/admin/coupons/{code}/redemptions
        GET /v1/admin/products/{product_id}/coupons
        GET /v1/admin/products/{product_id}/coupons/automatic
    """,
    "webhooks.write": """
        GET /v1/admin/inbox
        GET /v1/admin/inbox/depths
        GET /v1/admin/inbox/{message_id}
        POST /v1/admin/inbox/{message_id}/replay
        GET /v1/admin/vendure/unsynced
        GET /v1/admin/webhook-endpoints
        POST /v1/admin/webhook-endpoints
        DELETE /v1/admin/webhook-endpoints/{endpoint_id}
        GET /v1/admin/webhook-endpoints/{endpoint_id}
        PATCH /v1/admin/webhook-endpoints/{endpoint_id}
        DELETE /v1/admin/webhook-endpoints/{endpoint_id}/previous-secret
        POST /v1/admin/webhook-endpoints/{endpoint_id}/secret
        GET /v1/admin/webhook-sources
        POST /v1/admin/webhook-sources
        DELETE /v1/admin/webhook-sources/{source}
        GET /v1/admin/webhook-sources/{source}
        PATCH /v1/admin/webhook-sources/{source}
        DELETE /v1/admin/webhook-sources/{source}/previous-secret
        POST /v1/admin/webhook-sources/{source}/secret
        GET /v1/admin/webhooks
        POST /v1/admin/webhooks
        GET /v1/admin/webhooks/depths
        DELETE /v1/admin/webhooks/{webhook_id}
        GET /v1/admin/webhooks/{webhook_id}
        GET /v1/admin/webhooks/{webhook_id}/attempts
        POST /v1/admin/webhooks/{webhook_id}/retry
    """,
    "conversions.write": """
        GET /v1/admin/conversion-providers
        POST /v1/admin/conversion-providers
        DELETE /v1/admin/conversion-providers/{provider_id}
        GET /v1/admin/conversion-providers/{provider_id}
        PATCH /v1/admin/conversion-providers/{provider_id}
        POST /v1/admin/conversion-providers/{provider_id}/retry
        POST /v1/admin/conversion-providers/{provider_id}/test
        GET /v1/admin/conversions
        GET /v1/admin/conversions/waiting
        DELETE /v1/admin/conversions/{conversion_id}
    """,
    "domains.write": """
        GET /v1/admin/cart-reminders/rules
        PUT /v1/admin/cart-reminders/rules
        GET /v1/admin/domains/{domain_id}/cart-reminders
        PUT /v1/admin/domains/{domain_id}/cart-reminders
        GET /v1/admin/domains
        POST /v1/admin/domains
        DELETE /v1/admin/domains/{domain_id}
        GET /v1/admin/domains/{domain_id}
        PATCH /v1/admin/domains/{domain_id}
    """,
    "catalog.write": """
        GET /v1/admin/batches/expiring
        POST /v1/admin/batches/{batch_id}/activate
        POST /v1/admin/batches/{batch_id}/deactivate
        POST /v1/admin/batches/{batch_id}/verify
        GET /v1/admin/categories
        POST /v1/admin/categories
        PATCH /v1/admin/categories/{category_id}
        PUT /v1/admin/categories/{category_id}/parent
        GET /v1/admin/categories/{category_id}/path
        GET /v1/admin/products
        POST /v1/admin/products
        DELETE /v1/admin/products/{product_id}
        GET /v1/admin/products/{product_id}
        GET /v1/admin/products/by-stripe-price/{stripe_price_id}
        PATCH /v1/admin/products/{product_id}
        GET /v1/admin/products/{product_id}/batches
        POST /v1/admin/products/{product_id}/batches
        DELETE /v1/admin/products/{product_id}/categories/{category_id}
        PUT /v1/admin/products/{product_id}/categories/{category_id}
        POST /v1/admin/products/{product_id}/discontinue
        POST /v1/admin/products/{product_id}/images
        DELETE /v1/admin/products/{product_id}/images/{image_id}
        PUT /v1/admin/products/{product_id}/options
        POST /v1/admin/products/{product_id}/out-of-stock
        POST /v1/admin/products/{product_id}/publish
        PUT /v1/admin/products/{product_id}/file
        POST /v1/admin/products/{product_id}/unpublish
        POST /v1/admin/products/{product_id}/variants
        GET /v1/admin/variants/{variant_id}
        PATCH /v1/admin/variants/{variant_id}
    """,
    "orders.read": """
        GET /v1/admin/cart-reminders
        GET /v1/admin/carts/abandoned
        GET /v1/admin/orders
        GET /v1/admin/orders/awaiting-payment
        GET /v1/admin/orders/changes
        GET /v1/admin/orders/needing-refund
        GET /v1/admin/orders/pages
        GET /v1/admin/orders/revenue
        GET /v1/admin/orders/{order_id}
        GET /v1/admin/orders/{order_id}/downloads
        GET /v1/admin/orders/{order_id}/history
        GET /v1/admin/sap/orders/{order_id}/invoice
        GET /v1/admin/shipping-rates
    """,
    "analytics.read": """
        GET /v1/admin/events
    """,
    "orders.write": """
        POST /v1/admin/orders/{order_id}/cancel
        POST /v1/admin/orders/{order_id}/downloads/send
        POST /v1/admin/orders/{order_id}/deliver
        POST /v1/admin/orders/{order_id}/move
        POST /v1/admin/orders/{order_id}/notes
        POST /v1/admin/orders/{order_id}/ship
        PUT /v1/admin/orders/{order_id}/tracking
    """,
    "payments.record": """
        POST /v1/admin/cart-quotes
        POST /v1/admin/cart-quotes/batch
        POST /v1/admin/cart-quotes/{cart_quote_id}/mark-paid
        POST /v1/admin/payment-transactions
        POST /v1/admin/payment-transactions/batch
        POST /v1/admin/wallet-payments
    """,
    "payments.read": """
        GET /v1/admin/cart-quotes
        GET /v1/admin/cart-quotes/by-ids
        GET /v1/admin/cart-quotes/{cart_quote_id}
        GET /v1/admin/cart-quotes/{cart_quote_id}/access
        GET /v1/admin/hosted-sessions
        GET /v1/admin/hosted-sessions/{session}
        GET /v1/admin/mpgs-transactions
        GET /v1/admin/mpgs-transactions/{transaction_id}
        GET /v1/admin/payment-transactions
        GET /v1/admin/payment-transactions/by-signature
        GET /v1/admin/payment-transactions/processed
        GET /v1/admin/receiving-accounts
        GET /v1/admin/orders/{order_id}/payments
        GET /v1/admin/payment-methods
        GET /v1/admin/payment-methods/{method_id}
        GET /v1/admin/payments
        GET /v1/admin/payments/review
        GET /v1/admin/payments/{payment_id}
        GET /v1/admin/payments/{payment_id}/attempts
        GET /v1/admin/payments/{payment_id}/proof
        GET /v1/admin/orders/{order_id}/refunds
        GET /v1/admin/disputes
        GET /v1/admin/disputes/{dispute_id}
        GET /v1/admin/ledger
        GET /v1/admin/orders/{order_id}/ledger
        GET /v1/admin/refund-quotes
        GET /v1/admin/refund-quotes/newest
        GET /v1/admin/refund-quotes/{quote_id}
        GET /v1/admin/refunds
        GET /v1/admin/refunds/{refund_id}
        GET /v1/admin/users/{user_id}/credit
    """,
    "refunds.write": """
        POST /v1/admin/disputes/{dispute_id}/lost
        POST /v1/admin/disputes/{dispute_id}/won
        POST /v1/admin/payments/{payment_id}/disputes
        POST /v1/admin/nonces
        POST /v1/admin/refund-quotes
        POST /v1/admin/refund-quotes/batch
        DELETE /v1/admin/refund-quotes/{quote_id}
        POST /v1/admin/refund-quotes/{quote_id}/approve
        POST /v1/admin/refund-quotes/{quote_id}/deny
        POST /v1/admin/refund-quotes/{quote_id}/process
        POST /v1/admin/payments/{payment_id}/refunds
        POST /v1/admin/refunds/{refund_id}/complete
        POST /v1/admin/refunds/{refund_id}/fail
        POST /v1/admin/users/{user_id}/credit/grants
        POST /v1/admin/users/{user_id}/credit/withdrawals
    """,
    "payments.verify": """
        POST /v1/admin/hosted-sessions/{session}/refresh
        POST /v1/admin/mpgs-transactions/{transaction_id}/refresh
        POST /v1/admin/orders/{order_id}/payments
        POST /v1/admin/payments/{payment_id}/cancel
        POST /v1/admin/payments/{payment_id}/reject
        POST /v1/admin/payments/{payment_id}/verify
    """,
    "inventory.write": """
        GET /v1/admin/stock
        GET /v1/admin/stock/low
        GET /v1/admin/stock/oversold
        GET /v1/admin/stock/{variant_id}
        POST /v1/admin/stock/{variant_id}/adjustments
        POST /v1/admin/stock/{variant_id}/counts
        GET /v1/admin/stock/{variant_id}/movements
        PUT /v1/admin/stock/{variant_id}/policy
    """,
    "users.read": """
        GET /v1/admin/customers
        GET /v1/admin/sap/customers
        GET /v1/admin/customers/consenting
        GET /v1/admin/customers/{customer_id}
        GET /v1/admin/customers/{customer_id}/addresses
        GET /v1/admin/users
        GET /v1/admin/users/{user_id}
        GET /v1/admin/users/{user_id}/profile
        GET /v1/admin/users/{user_id}/sessions
    """,
    "users.read orders.read": """
        GET /v1/admin/customers/{customer_id}/orders
    """,
    "users.read orders.read payments.read analytics.read": """
        GET /v1/admin/users/{user_id}/export
    """,
    "users.write": """
        PUT /v1/admin/sap/customers
        POST /v1/admin/sap/customers/enrol
        POST /v1/admin/sap/customers/{sync_id}/retry
        POST /v1/admin/users
        DELETE /v1/admin/users/{user_id}
        POST /v1/admin/users/{user_id}/addresses/{address_id}/validate
        POST /v1/admin/users/{user_id}/erase
        PUT /v1/admin/users/{user_id}/kyc
        PUT /v1/admin/users/{user_id}/permissions
        PUT /v1/admin/users/{user_id}/role
        DELETE /v1/admin/users/{user_id}/second-factor
        DELETE /v1/admin/users/{user_id}/sessions
        PUT /v1/admin/users/{user_id}/status
        POST /v1/admin/users/{user_id}/verify-age
    """,
    "arrival": """
        POST /v1/carts
        POST /v1/carts/restore
        PUT /v1/conversion-consent
        POST /v1/events
    """,
    "visitor": """
        GET /v1/carts/{cart_id}
        POST /v1/carts/{cart_id}/items
        DELETE /v1/carts/{cart_id}/items/{item_id}
        PATCH /v1/carts/{cart_id}/items/{item_id}
        DELETE /v1/carts/{cart_id}/coupon
        POST /v1/carts/{cart_id}/coupon
        POST /v1/carts/{cart_id}/reprice
        POST /v1/carts/{cart_id}/reserve
        PUT /v1/carts/{cart_id}/shipping
    """,
    "subscriptions.write": """
        GET /v1/admin/subscriptions
        POST /v1/admin/subscriptions
        GET /v1/admin/subscriptions/access
        GET /v1/admin/subscriptions/by-stripe-id/{stripe_subscription_id}
        GET /v1/admin/subscriptions/by-wallet
        DELETE /v1/admin/subscriptions/{subscription_id}
        GET /v1/admin/subscriptions/{subscription_id}
        PATCH /v1/admin/subscriptions/{subscription_id}
        POST /v1/admin/subscriptions/{subscription_id}/cancel
        GET /v1/admin/subscriptions/{subscription_id}/history
        POST /v1/admin/subscriptions/{subscription_id}/payments
        POST /v1/admin/subscriptions/{subscription_id}/period
        POST /v1/admin/subscriptions/{subscription_id}/reactivate
        POST /v1/admin/subscriptions/{subscription_id}/status
    """,
}

TABLE: Final[dict[str, str]] = {
    line.strip(): right for right, lines in RIGHTS.items() for line in lines.strip().splitlines()
}
