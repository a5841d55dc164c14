"""Real coding agents, run against a script through the proxy; their own files must say what the wire said."""
