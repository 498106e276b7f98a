"""Azure Event Grid: the subscription that feeds the webhook."""
