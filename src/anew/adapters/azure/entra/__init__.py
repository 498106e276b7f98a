"""Microsoft Entra: the tokens that Event Grid sends to the webhook, and the keys that sign them."""
