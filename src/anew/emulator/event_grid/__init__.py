"""Azure Event Grid: subscriptions with their handshake and filters, and delivery in batches, with retries and dead
letters. Events come in from the bus of `base` and go out to webhooks. It may import `arm`, `base`, and from
`machine_learning` the conversion to CloudEvents.
"""
