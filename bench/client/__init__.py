"""What a call through the client costs its process beside the same call of the bare stub."""
