"""Conversations as Chat Completions has them: lists of messages, requests, fine-tuning files, logs of requests."""
