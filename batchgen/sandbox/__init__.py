"""The sandbox: simulated providers on loopback, an independent witness that shares no code with the rest."""
