"""Tools of MCP servers (extra `mcp`)."""
