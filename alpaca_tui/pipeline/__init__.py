"""What happens to weights before a chat: merge, verify, convert, quantise, perplexity."""
