"""Tools of MCP servers (extra `mcp`)."""

from .tools import McpServerError, mcp_tools

__all__ = ["McpServerError", "mcp_tools"]
