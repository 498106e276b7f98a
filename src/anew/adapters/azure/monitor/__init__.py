"""Azure Monitor: measurements, missed events and traffic from Log Analytics."""
