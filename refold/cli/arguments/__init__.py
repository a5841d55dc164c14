"""What the words of a command line name: options, sessions, agents, tools, waits, tasks, files."""
