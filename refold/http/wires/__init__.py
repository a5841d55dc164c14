"""The providers' protocols as a server speaks them, one file each; a client's side is in `eventsource.models`."""
