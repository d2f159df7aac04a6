"""Calls and people on the phone: the ARI client, the way of a call, the waiting line and the agents' presence."""
