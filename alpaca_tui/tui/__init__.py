"""The Textual app: the chat's face. Knows the engine only through `engine.protocol`."""
