"""OpenAI's two protocols, Chat Completions and Responses, and those who speak like it."""
